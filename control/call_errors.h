#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/status.h"

namespace starling::control {

/// What a call to the process that serves starling.control.v1 at `address` came to. kUnavailable,
/// which names the socket, when nobody answers there; kUnimplemented when an older starling does.
Status ResultOfCall(const grpc::Status& status, const std::string& address);

}  // namespace starling::control
