#include "credentials/google_key.h"

#include <utility>

#include "credentials/web_client.h"
#include "oci/json_fields.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

constexpr uint64_t kMaxKeyBytes = 1 << 20;

/// A text that must be there.
StatusOr<std::string> Required(const oci::Json& object, const char* key) {
  ASSIGN_OR_RETURN(std::string text, oci::TextField(object, key));
  if (text.empty()) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("it has no \"{}\"", key));
  }
  return text;
}

}  // namespace

StatusOr<GoogleKey> ParseGoogleKey(ByteSpan json) {
  ASSIGN_OR_RETURN(const oci::Json document, oci::ParseJsonObject(json, kMaxKeyBytes, "key file"));
  ASSIGN_OR_RETURN(const std::string type, Required(document, "type"));
  ASSIGN_OR_RETURN(std::string token_uri, oci::TextField(document, "token_uri"));
  if (token_uri.empty()) {
    token_uri = kGoogleTokenUri;
  }
  RETURN_IF_ERROR(CheckEncrypted(token_uri, "token_uri"));
  if (type == "service_account") {
    GoogleServiceAccount account{.token_uri = std::move(token_uri)};
    ASSIGN_OR_RETURN(account.client_email, Required(document, "client_email"));
    ASSIGN_OR_RETURN(account.private_key, Required(document, "private_key"));
    ASSIGN_OR_RETURN(account.private_key_id, oci::TextField(document, "private_key_id"));
    return GoogleKey(std::move(account));
  }
  if (type == "authorized_user") {
    GoogleUser user{.token_uri = std::move(token_uri)};
    ASSIGN_OR_RETURN(user.client_id, Required(document, "client_id"));
    ASSIGN_OR_RETURN(user.client_secret, Required(document, "client_secret"));
    ASSIGN_OR_RETURN(user.refresh_token, Required(document, "refresh_token"));
    return GoogleKey(std::move(user));
  }
  return MakeError(StatusCode::kUnimplemented,
                   fmt::format("it is of the kind \"{}\", which is not supported: take a key of a "
                               "service account, or a docker credential helper "
                               "(`gcloud auth configure-docker`)",
                               registry::Printable(type, 60)));
}

}  // namespace starling::credentials
