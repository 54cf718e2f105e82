#pragma once

#include <memory>
#include <string>

#include "layer/cache.h"

namespace starling::control {

/// The cache of the process that serves starling.control.v1 on the unix socket `address`. Errors
/// carry the code that it gave; kUnavailable, which names the socket, when nobody answers there.
/// Threads: safe.
std::unique_ptr<layer::Cache> ConnectToCache(const std::string& address);

}  // namespace starling::control
