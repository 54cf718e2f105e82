#include "control/credentials_service.h"

#include "base/log.h"
#include "oci/reference.h"

namespace starling::control {

grpc::Status CredentialsService::Remember(grpc::ServerContext*, const v1::RememberRequest* request,
                                          v1::RememberResponse*) {
  const std::string& registry = request->registry();
  const std::string& repository = request->repository();
  const std::string whose = fmt::format("{}/{}", registry, repository);
  const auto image = oci::Reference::Parse(whose);
  if (!image.ok() || image->domain() != registry || image->repository() != repository) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "it is not said for which repository"};
  }
  const Status remembered = keep_(registry, repository, request->secret());
  if (!remembered.ok()) {
    log::Info("refused", {{"rpc", "Remember"}, {"name", whose}, {"error", Describe(remembered)}});
    return {static_cast<grpc::StatusCode>(remembered.code()), std::string(MessageOf(remembered))};
  }
  log::Debug("served", {{"rpc", "Remember"}, {"name", whose}});
  return grpc::Status::OK;
}

}  // namespace starling::control
