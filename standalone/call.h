/// What the services here have in common.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "base/status.h"

namespace starling::standalone {

/// Codes are numerically gRPC's.
inline grpc::Status ToGrpc(const Status& status) {
  return status.ok() ? grpc::Status::OK
                     : grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                                    std::string(MessageOf(status)));
}

/// The lease that a call is made under; empty without one.
inline std::string LeaseOf(const grpc::ServerContext& context) {
  const auto& headers = context.client_metadata();
  const auto found = headers.find("containerd-lease");
  return found == headers.end() ? "" : std::string(found->second.data(), found->second.size());
}

}  // namespace starling::standalone
