#pragma once

#include <memory>
#include <string>

#include "layer/status.h"

namespace starling::control {

/// The status of the process that serves starling.control.v1 on the unix socket `address`. Errors
/// as ConnectToCache's. Threads: safe.
std::unique_ptr<layer::StatusSource> ConnectToStatus(const std::string& address);

}  // namespace starling::control
