#include "control/remote_credentials.h"

#include <chrono>

#include "api/starling/control/v1/credentials.grpc.pb.h"
#include "control/call_errors.h"
#include "control/channel.h"

namespace starling::control {

Status RememberSecret(const std::string& address, const std::string& registry,
                      const std::string& repository, const std::string& secret) {
  constexpr std::chrono::seconds kTimeout(10);
  const auto stub = v1::Credentials::NewStub(ConnectTo(address));
  v1::RememberRequest request;
  request.set_registry(registry);
  request.set_repository(repository);
  request.set_secret(secret);
  v1::RememberResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  return ResultOfCall(stub->Remember(&context, request, &response), address);
}

}  // namespace starling::control
