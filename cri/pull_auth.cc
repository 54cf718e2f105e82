#include "cri/pull_auth.h"

#include "api/cri/runtime/v1/image_service.pb.h"
#include "credentials/docker_config.h"
#include "oci/reference.h"

namespace starling::cri {
namespace {

StatusOr<registry::Credentials> CredentialsOf(const ::runtime::v1::AuthConfig& auth) {
  if (!auth.username().empty()) {
    return registry::Credentials{.username = auth.username(), .password = auth.password()};
  }
  if (!auth.identity_token().empty()) {
    return registry::Credentials{.identity_token = auth.identity_token()};
  }
  if (!auth.auth().empty()) {
    const auto login = credentials::ParsePackedLogin(auth.auth());
    if (!login) {
      return MakeError(StatusCode::kInvalidArgument,
                       "the pull's auth is not base64 of \"user:password\"");
    }
    return *login;
  }
  return registry::Credentials{.registry_token = auth.registry_token()};
}

}  // namespace

StatusOr<std::optional<PullAuth>> ReadPullAuth(std::string_view request) {
  ::runtime::v1::PullImageRequest pull;
  if (!pull.ParseFromArray(request.data(), static_cast<int>(request.size()))) {
    return MakeError(StatusCode::kInvalidArgument, "the pull's request cannot be read");
  }
  ASSIGN_OR_RETURN(registry::Credentials credentials, CredentialsOf(pull.auth()));
  if (credentials.anonymous()) {
    return std::optional<PullAuth>();
  }
  ASSIGN_OR_RETURN(const oci::Reference image, oci::Reference::Parse(pull.image().image()));
  const std::string& server = pull.auth().server_address();
  if (!server.empty() && !credentials::NamesRegistry(server, image.domain())) {
    return std::optional<PullAuth>();
  }
  return std::optional(
      PullAuth{.whose = {.registry = image.domain(), .repository = image.repository()},
               .credentials = std::move(credentials)});
}

}  // namespace starling::cri
