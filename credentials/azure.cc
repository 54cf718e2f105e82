#include "credentials/azure.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/text.h"
#include "oci/json_fields.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

constexpr uint64_t kMaxAnswerBytes = 1 << 20;
constexpr uint64_t kMaxTokenBytes = 64 << 10;
constexpr std::string_view kResource = "https://containerregistry.azure.net/";
constexpr std::chrono::seconds kUsualLife(3600);

Status NotFound(std::string_view why) { return MakeError(StatusCode::kNotFound, why); }

/// The token `key` of an answer, or an error without any of it.
StatusOr<std::string> TokenIn(const registry::HttpResponse& response, const char* key,
                              std::string_view what, const std::vector<std::string>& secrets) {
  if (response.status != 200) {
    return RefusalOf(response, what, secrets);
  }
  const auto document = oci::ParseJsonObject(response.body, kMaxAnswerBytes, "token");
  std::string token = document.ok() ? oci::TextField(*document, key).value_or("") : "";
  if (token.empty() || token.size() > kMaxTokenBytes || !IsOneWord(token)) {
    return MakeError(StatusCode::kUnauthenticated,
                     fmt::format("{}: the answer holds no usable {}", what, key));
  }
  return token;
}

}  // namespace

bool IsAzureRegistry(std::string_view host) {
  return host.ends_with(".azurecr.io") || host.ends_with(".azurecr.cn") ||
         host.ends_with(".azurecr.us");
}

std::chrono::seconds LifeOfAzureToken(std::string_view token,
                                      std::chrono::system_clock::time_point now) {
  const size_t dot = token.find('.');
  if (dot == std::string_view::npos) {
    return kUsualLife;
  }
  std::string claims(token.substr(dot + 1, token.find('.', dot + 1) - dot - 1));
  std::ranges::replace(claims, '-', '+');
  std::ranges::replace(claims, '_', '/');
  const auto bytes = Base64Decode(claims);
  const auto document = oci::ParseJsonObject(bytes ? *bytes : Bytes(), kMaxTokenBytes, "claims");
  const auto end = document.ok() ? oci::SizeField(*document, "exp") : document.status();
  if (!end.ok()) {
    return kUsualLife;
  }
  constexpr int64_t kLongestSeconds = 24 * 3600;
  const auto seconds_now = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  return std::chrono::seconds(
      std::clamp<int64_t>(static_cast<int64_t>(*end) - seconds_now.count(), 0, kLongestSeconds));
}

AzureCredentials::AzureCredentials(SourceDependencies dependencies)
    : deps_(std::move(dependencies)), cache_(deps_.clock) {}

StatusOr<registry::Credentials> AzureCredentials::Find(const registry::CredentialRequest& request) {
  if (!IsAzureRegistry(request.registry)) {
    return NotFound("");
  }
  return cache_.Get(request.registry, [&] { return Login(request.registry); });
}

void AzureCredentials::Refused(const registry::CredentialRequest& request,
                               const registry::Credentials&) {
  if (IsAzureRegistry(request.registry)) {
    cache_.Forget(request.registry);
  }
}

StatusOr<AzureCredentials::Cache::Fetched> AzureCredentials::Login(const std::string& registry) {
  ASSIGN_OR_RETURN(const std::string access_token, AccessToken());
  std::vector<FormField> fields = {{"grant_type", "access_token"}, {"service", registry}};
  if (const std::string& tenant = deps_.environment.Get("AZURE_TENANT_ID"); !tenant.empty()) {
    fields.push_back({"tenant", tenant});
  }
  fields.push_back({"access_token", access_token});
  const std::string what = fmt::format("exchange of {}", registry);
  const auto response =
      deps_.web.Ask(FormRequest(fmt::format("https://{}/oauth2/exchange", registry), fields));
  if (!response.ok()) {
    return Annotate(response.status(), what);
  }
  ASSIGN_OR_RETURN(std::string refresh_token,
                   TokenIn(*response, "refresh_token", what, {access_token}));
  const auto now = deps_.clock.WallTime();
  const auto renew_at = RenewalOf(deps_.clock, now + LifeOfAzureToken(refresh_token, now));
  return Cache::Fetched{.value = {.username = "00000000-0000-0000-0000-000000000000",
                                  .password = "",
                                  .identity_token = std::move(refresh_token),
                                  .renew_at = renew_at},
                        .renew_at = renew_at};
}

StatusOr<std::string> AzureCredentials::AccessToken() const {
  auto token = OfApplication();
  if (token.status().code() != StatusCode::kNotFound || deps_.surroundings == Surroundings::kNone) {
    return token;
  }
  auto of_machine = OfMachine();
  return of_machine.status().code() == StatusCode::kNotFound
             ? NotFound(
                   fmt::format("{}, {}", MessageOf(token.status()), MessageOf(of_machine.status())))
             : std::move(of_machine);
}

// Source: Microsoft identity platform, "OAuth 2.0 client credentials flow".
StatusOr<std::string> AzureCredentials::OfApplication() const {
  const Environment& variables = deps_.environment;
  const std::string& tenant = variables.Get("AZURE_TENANT_ID");
  const std::string& client = variables.Get("AZURE_CLIENT_ID");
  const std::string& token_file = variables.Get("AZURE_FEDERATED_TOKEN_FILE");
  std::string secret = variables.Get("AZURE_CLIENT_SECRET");
  if (tenant.empty() || client.empty() || (secret.empty() && token_file.empty())) {
    return NotFound(
        "no AZURE_TENANT_ID and AZURE_CLIENT_ID with AZURE_CLIENT_SECRET or "
        "AZURE_FEDERATED_TOKEN_FILE");
  }
  std::vector<FormField> fields = {{"grant_type", "client_credentials"},
                                   {"client_id", client},
                                   {"scope", fmt::format("{}.default", kResource)}};
  if (!secret.empty()) {
    fields.push_back({"client_secret", secret});
  } else {
    const StatusOr<Bytes> bytes = ReadFile(deps_.files, token_file, kMaxTokenBytes);
    if (!bytes.ok()) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("AZURE_FEDERATED_TOKEN_FILE: {}", MessageOf(bytes.status())));
    }
    secret = TrimSpace(AsText(*bytes));
    fields.push_back(
        {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"});
    fields.push_back({"client_assertion", secret});
  }
  std::string authority = variables.Get("AZURE_AUTHORITY_HOST");
  if (authority.empty()) {
    authority = "https://login.microsoftonline.com";
  }
  while (authority.ends_with('/')) {
    authority.pop_back();
  }
  RETURN_IF_ERROR(CheckEncrypted(authority, "AZURE_AUTHORITY_HOST"));
  const std::string what = fmt::format("{}, tenant {}", authority, registry::Printable(tenant, 60));
  const auto response = deps_.web.Ask(FormRequest(
      fmt::format("{}/{}/oauth2/v2.0/token", authority, PercentEncode(tenant)), fields));
  if (!response.ok()) {
    return Annotate(response.status(), what);
  }
  return TokenIn(*response, "access_token", what, {secret});
}

// Source: Azure, "How to use managed identities for Azure resources on an Azure VM".
StatusOr<std::string> AzureCredentials::OfMachine() const {
  const std::string what = "the machine's identity service 169.254.169.254";
  std::string url = fmt::format(
      "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01"
      "&resource={}",
      PercentEncode(kResource));
  if (const std::string& client = deps_.environment.Get("AZURE_CLIENT_ID"); !client.empty()) {
    url += "&client_id=" + PercentEncode(client);
  }
  const auto response = deps_.web.AskNearby(
      {.url = std::move(url), .headers = {{.name = "Metadata", .value = "true"}}});
  if (!response.ok()) {
    return NotFound(fmt::format("{} does not answer", what));
  }
  if (response->status == 404) {
    return NotFound(fmt::format("{} is not Azure's", what));
  }
  return TokenIn(*response, "access_token", what, {});
}

}  // namespace starling::credentials
