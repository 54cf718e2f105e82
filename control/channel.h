#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace starling::control {

/// To the process that serves starling.control.v1 on the unix socket `address`, whether or not
/// there is one yet. Calls may bring large messages; a process that is replaced is found again in a
/// second.
std::shared_ptr<grpc::Channel> ConnectTo(const std::string& address);

}  // namespace starling::control
