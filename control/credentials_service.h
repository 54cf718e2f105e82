#pragma once

#include <functional>
#include <string>

#include "api/starling/control/v1/credentials.grpc.pb.h"
#include "base/status.h"

namespace starling::control {

/// starling.control.v1.Credentials: hands on what it is told, and logs for which repository, never
/// what. Threads: safe, synchronous.
class CredentialsService final : public starling::control::v1::Credentials::Service {
 public:
  using Keep = std::function<Status(const std::string& registry, const std::string& repository,
                                    std::string secret)>;

  explicit CredentialsService(Keep keep) : keep_(std::move(keep)) {}

  grpc::Status Remember(grpc::ServerContext*, const v1::RememberRequest* request,
                        v1::RememberResponse*) override;

 private:
  const Keep keep_;
};

}  // namespace starling::control
