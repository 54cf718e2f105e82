#include "credentials/google.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "credentials/jwt.h"
#include "oci/json_fields.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

using registry::HttpRequest;

constexpr uint64_t kMaxKeyBytes = 1 << 20;
constexpr uint64_t kMaxAnswerBytes = 1 << 20;
constexpr size_t kMaxTokenBytes = 64 << 10;
constexpr std::string_view kScope = "https://www.googleapis.com/auth/cloud-platform";
// As long as Google allows.
constexpr std::chrono::seconds kGrantLife(3600);

Status NotFound(std::string_view why) { return MakeError(StatusCode::kNotFound, why); }

}  // namespace

bool IsGoogleRegistry(std::string_view host) {
  return host.ends_with(".pkg.dev") || host == "gcr.io" || host.ends_with(".gcr.io");
}

StatusOr<GoogleToken> ParseGoogleToken(ByteSpan json) {
  const auto bad = [] {
    return MakeError(StatusCode::kUnauthenticated, "the answer holds no usable access token");
  };
  const auto document = oci::ParseJsonObject(json, kMaxAnswerBytes, "token");
  if (!document.ok()) {
    return bad();
  }
  std::string text = oci::TextField(*document, "access_token").value_or("");
  const oci::Json* const life = oci::FindField(*document, "expires_in");
  if (text.empty() || text.size() > kMaxTokenBytes || !IsOneWord(text) || life == nullptr ||
      !life->is_number_integer()) {
    return bad();
  }
  constexpr int64_t kLongestSeconds = 24 * 3600;
  const auto seconds = std::clamp<int64_t>(life->get<int64_t>(), 0, kLongestSeconds);
  return GoogleToken{.text = std::move(text), .life = std::chrono::seconds(seconds)};
}

GoogleCredentials::GoogleCredentials(SourceDependencies dependencies)
    : deps_(std::move(dependencies)), cache_(deps_.clock) {}

StatusOr<registry::Credentials> GoogleCredentials::Find(
    const registry::CredentialRequest& request) {
  if (!IsGoogleRegistry(request.registry)) {
    return NotFound("");
  }
  // One token is good for all of Google's registries.
  return cache_.Get("", [this] { return Look(); });
}

void GoogleCredentials::Refused(const registry::CredentialRequest& request,
                                const registry::Credentials&) {
  if (IsGoogleRegistry(request.registry)) {
    cache_.Forget("");
  }
}

StatusOr<GoogleToken> GoogleCredentials::FindToken() const {
  const Environment& variables = deps_.environment;
  if (const std::string& json = variables.Get("SERVICE_ACCOUNT_JSON"); !json.empty()) {
    return OfKey(ToBytes(json), "SERVICE_ACCOUNT_JSON");
  }
  if (const std::string& file = variables.Get("GOOGLE_APPLICATION_CREDENTIALS"); !file.empty()) {
    const StatusOr<Bytes> json = ReadFile(deps_.files, file, kMaxKeyBytes);
    if (!json.ok()) {
      // The variable says that it is there.
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("GOOGLE_APPLICATION_CREDENTIALS: {}", MessageOf(json.status())));
    }
    return OfKey(*json, file);
  }
  const std::string nothing = "no SERVICE_ACCOUNT_JSON, no GOOGLE_APPLICATION_CREDENTIALS";
  if (deps_.surroundings == Surroundings::kNone) {
    return NotFound(nothing);
  }
  const std::string file = DefaultFile();
  const StatusOr<Bytes> json = ReadFile(deps_.files, file, kMaxKeyBytes);
  if (json.ok()) {
    return OfKey(*json, file);
  }
  if (json.status().code() != StatusCode::kNotFound) {
    return json.status();
  }
  auto token = OfMachine();
  return token.status().code() == StatusCode::kNotFound
             ? NotFound(fmt::format("{}, no {}, {}", nothing, file, MessageOf(token.status())))
             : std::move(token);
}

StatusOr<GoogleCredentials::Cache::Fetched> GoogleCredentials::Look() {
  auto token = FindToken();
  RETURN_IF_ERROR(token.status());
  const auto renew_at = RenewalOf(deps_.clock, deps_.clock.WallTime() + token->life);
  return Cache::Fetched{.value = {.username = "oauth2accesstoken",
                                  .password = std::move(token->text),
                                  .identity_token = "",
                                  .renew_at = renew_at},
                        .renew_at = renew_at};
}

std::string GoogleCredentials::DefaultFile() const {
  constexpr std::string_view kName = "application_default_credentials.json";
  if (const std::string& directory = deps_.environment.Get("CLOUDSDK_CONFIG"); !directory.empty()) {
    return fmt::format("{}/{}", directory, kName);
  }
  return fmt::format("{}/.config/gcloud/{}", deps_.environment.Home(), kName);
}

StatusOr<GoogleToken> GoogleCredentials::OfKey(const Bytes& json, const std::string& origin) const {
  const auto key = ParseGoogleKey(json);
  if (!key.ok()) {
    // Not kNotFound or the like, which would mean that nothing is configured.
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{}: {}", origin, MessageOf(key.status())));
  }
  auto token = std::visit([this](const auto& known) { return Trade(known); }, *key);
  return token.ok() ? std::move(token) : Annotate(token.status(), origin);
}

// Source: Google, "Using OAuth 2.0 for server to server applications".
StatusOr<GoogleToken> GoogleCredentials::Trade(const GoogleServiceAccount& account) const {
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(deps_.clock.WallTime().time_since_epoch());
  oci::Json header = {{"alg", "RS256"}, {"typ", "JWT"}};
  if (!account.private_key_id.empty()) {
    header["kid"] = account.private_key_id;
  }
  const oci::Json claims = {{"iss", account.client_email},
                            {"scope", kScope},
                            {"aud", account.token_uri},
                            {"iat", now.count()},
                            {"exp", (now + kGrantLife).count()}};
  ASSIGN_OR_RETURN(const std::string assertion,
                   SignRs256(oci::WriteJson(header), oci::WriteJson(claims), account.private_key));
  return AskForToken(
      FormRequest(account.token_uri, {{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
                                      {"assertion", assertion}}),
      {assertion});
}

StatusOr<GoogleToken> GoogleCredentials::Trade(const GoogleUser& user) const {
  return AskForToken(FormRequest(user.token_uri, {{"grant_type", "refresh_token"},
                                                  {"client_id", user.client_id},
                                                  {"client_secret", user.client_secret},
                                                  {"refresh_token", user.refresh_token}}),
                     {user.client_secret, user.refresh_token});
}

StatusOr<GoogleToken> GoogleCredentials::AskForToken(
    HttpRequest request, const std::vector<std::string>& secrets) const {
  const auto url = registry::Url::Parse(request.url);
  RETURN_IF_ERROR(url.status());
  const std::string what = fmt::format("token server {}", url->ForMessages());
  const auto response = deps_.web.Ask(std::move(request));
  if (!response.ok()) {
    return Annotate(response.status(), what);
  }
  if (response->status != 200) {
    return RefusalOf(*response, what, secrets);
  }
  auto token = ParseGoogleToken(response->body);
  return token.ok() ? std::move(token) : Annotate(token.status(), what);
}

StatusOr<GoogleToken> GoogleCredentials::OfMachine() const {
  const std::string& named = deps_.environment.Get("GCE_METADATA_HOST");
  const std::string host = named.empty() ? "metadata.google.internal" : named;
  const std::string what = fmt::format("the metadata server {}", host);
  const auto response = deps_.web.AskNearby(
      {.url = fmt::format("http://{}/computeMetadata/v1/instance/service-accounts/default/token",
                          host),
       .headers = {{.name = "Metadata-Flavor", .value = "Google"}}});
  if (!response.ok()) {
    return NotFound(fmt::format("{} does not answer", what));
  }
  // Anybody else may answer there, too.
  if (response->HeaderValue("Metadata-Flavor") != "Google") {
    return NotFound(fmt::format("{} is not Google's", what));
  }
  if (response->status == 404) {
    return NotFound("the machine has no service account");
  }
  if (response->status != 200) {
    return ErrorOfService(*response, what, {});
  }
  auto token = ParseGoogleToken(response->body);
  return token.ok() ? std::move(token) : Annotate(token.status(), what);
}

}  // namespace starling::credentials
