#include "credentials/aws_keys.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "credentials/aws_endpoint.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

using registry::HttpRequest;
using registry::HttpResponse;

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr uint64_t kMaxTokenBytes = 64 << 10;
constexpr int kMaxSourceProfiles = 8;
constexpr std::string_view kStsVersion = "2011-06-15";

Status NotFound(std::string_view why) { return MakeError(StatusCode::kNotFound, why); }

/// A token that goes into a header or a form.
StatusOr<std::string> ReadToken(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(files, path, kMaxTokenBytes));
  std::string token(TrimSpace(AsText(bytes)));
  if (token.empty() || !IsOneWord(token)) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("{} holds no token", path));
  }
  return token;
}

const std::string& ValueOf(const AwsProfile& profile, const std::string& name) {
  static const std::string none;
  const auto found = profile.find(name);
  return found == profile.end() ? none : found->second;
}

StatusOr<AwsKeys> KeysOf(const AwsProfile& profile) {
  AwsKeys keys{.access_key_id = ValueOf(profile, "aws_access_key_id"),
               .secret_access_key = ValueOf(profile, "aws_secret_access_key"),
               .session_token = ValueOf(profile, "aws_session_token")};
  if (keys.access_key_id.empty() || keys.secret_access_key.empty()) {
    return NotFound("no aws_access_key_id and aws_secret_access_key");
  }
  return keys;
}

/// What a cloud's own address or this machine may be asked without encryption.
/// Source: AWS SDKs and Tools Reference Guide, "Container credential provider".
bool MayAskContainerService(const registry::Url& url) {
  static constexpr std::array<std::string_view, 3> kServices = {"169.254.170.2", "169.254.170.23",
                                                                "fd00:ec2::23"};
  return url.encrypted() || registry::IsLoopback(url.host()) ||
         std::ranges::find(kServices, url.host()) != kServices.end();
}

}  // namespace

struct AwsKeySource::Role {
  std::string arn;
  std::string session_name;
  std::string external_id;
};

AwsKeySource::AwsKeySource(SourceDependencies dependencies)
    : deps_(std::move(dependencies)), cache_(deps_.clock) {}

StatusOr<AwsKeys> AwsKeySource::Find(const std::string& region, Instance instance) {
  return cache_.Get(fmt::format("{} {}", region, static_cast<int>(instance)),
                    [&] { return Look(region, instance); });
}

void AwsKeySource::Forget(const std::string& region, Instance instance) {
  cache_.Forget(fmt::format("{} {}", region, static_cast<int>(instance)));
}

StatusOr<AwsKeySource::Fetched> AwsKeySource::Look(const std::string& region, Instance instance) {
  // Files may change, and cost little: keys without an end are read again.
  constexpr std::chrono::minutes kLifeOfOthers(1);
  std::string tried;
  const auto decides = [&tried](const StatusOr<AwsKeys>& keys) {
    if (keys.status().code() != StatusCode::kNotFound) {
      return true;
    }
    tried += (tried.empty() ? "" : ", ") + std::string(MessageOf(keys.status()));
    return false;
  };
  StatusOr<AwsKeys> keys = OfVariables();
  if (!decides(keys)) {
    const Environment& variables = deps_.environment;
    const std::string& token_file = variables.Get("AWS_WEB_IDENTITY_TOKEN_FILE");
    keys = token_file.empty() || !variables.Has("AWS_ROLE_ARN")
               ? NotFound("no AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE")
               : AssumeRoleByWebIdentity({.arn = variables.Get("AWS_ROLE_ARN"),
                                          .session_name = variables.Get("AWS_ROLE_SESSION_NAME"),
                                          .external_id = ""},
                                         token_file, region);
  }
  if (!decides(keys) && deps_.surroundings == Surroundings::kMachine) {
    keys = OfProfile(region);
    if (!decides(keys)) {
      keys = OfContainer();
    }
    if (!decides(keys) && instance == Instance::kMayBeAsked) {
      keys = OfInstance();
      (void)decides(keys);
    }
  }
  if (keys.ok()) {
    const bool ends = keys->renew_at != std::chrono::steady_clock::time_point::max();
    return Fetched{.value = *keys,
                   .renew_at = ends ? keys->renew_at : deps_.clock.Now() + kLifeOfOthers};
  }
  return keys.status().code() == StatusCode::kNotFound ? NotFound(tried) : keys.status();
}

StatusOr<AwsKeys> AwsKeySource::OfVariables() const {
  const Environment& variables = deps_.environment;
  AwsKeys keys{.access_key_id = variables.Get("AWS_ACCESS_KEY_ID"),
               .secret_access_key = variables.Get("AWS_SECRET_ACCESS_KEY"),
               .session_token = variables.Get("AWS_SESSION_TOKEN")};
  if (keys.access_key_id.empty() != keys.secret_access_key.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set");
  }
  return keys.access_key_id.empty() ? NotFound("no AWS_ACCESS_KEY_ID") : StatusOr<AwsKeys>(keys);
}

std::string AwsKeySource::SharedFile(const std::string& variable, const std::string& name) const {
  if (deps_.environment.Has(variable)) {
    return deps_.environment.Get(variable);
  }
  return fmt::format("{}/.aws/{}", deps_.environment.Home(), name);
}

StatusOr<AwsKeys> AwsKeySource::OfProfile(const std::string& region) {
  const std::pair<std::string, AwsFile> files[] = {
      {SharedFile("AWS_CONFIG_FILE", "config"), AwsFile::kConfig},
      {SharedFile("AWS_SHARED_CREDENTIALS_FILE", "credentials"), AwsFile::kCredentials}};
  AwsProfiles profiles;
  for (const auto& [path, kind] : files) {
    const StatusOr<Bytes> text = ReadFile(deps_.files, path, kMaxFileBytes);
    if (text.status().code() == StatusCode::kNotFound) {
      continue;
    }
    RETURN_IF_ERROR(text.status());
    if (const Status read = ReadAwsProfiles(AsText(*text), kind, profiles); !read.ok()) {
      return Annotate(read, path);
    }
  }
  const std::string& chosen = deps_.environment.Get("AWS_PROFILE");
  const std::string name = chosen.empty() ? "default" : chosen;
  if (!profiles.contains(name)) {
    const std::string why =
        fmt::format("no profile \"{}\" in {} and {}", name, files[0].first, files[1].first);
    return chosen.empty() ? NotFound(why) : MakeError(StatusCode::kInvalidArgument, why);
  }
  const auto& own_region = ValueOf(profiles[name], "region");
  auto keys = OfProfile(profiles, name, own_region.empty() ? region : own_region, 0);
  return keys.ok() ? std::move(keys) : Annotate(keys.status(), fmt::format("profile \"{}\"", name));
}

StatusOr<AwsKeys> AwsKeySource::OfProfile(const AwsProfiles& profiles, const std::string& name,
                                          const std::string& region, int depth) {
  const auto found = profiles.find(name);
  if (found == profiles.end() || depth > kMaxSourceProfiles) {
    return MakeError(StatusCode::kInvalidArgument,
                     found == profiles.end()
                         ? fmt::format("its source_profile \"{}\" is not there", name)
                         : std::string("its source_profiles lead to each other"));
  }
  const AwsProfile& profile = found->second;
  const Role role{.arn = ValueOf(profile, "role_arn"),
                  .session_name = ValueOf(profile, "role_session_name"),
                  .external_id = ValueOf(profile, "external_id")};
  if (!role.arn.empty()) {
    if (const std::string& file = ValueOf(profile, "web_identity_token_file"); !file.empty()) {
      return AssumeRoleByWebIdentity(role, file, region);
    }
    if (profile.contains("mfa_serial")) {
      return MakeError(StatusCode::kUnimplemented,
                       "its role asks for a code of an MFA device, which nobody can type here; "
                       "give the keys of a session by AWS_SESSION_TOKEN and its siblings");
    }
    ASSIGN_OR_RETURN(const AwsKeys base, BaseOfRole(profiles, name, region, depth));
    return AssumeRole(role, base, region);
  }
  StatusOr<AwsKeys> keys = KeysOf(profile);
  for (const char* unsupported : {"credential_process", "sso_session", "sso_start_url"}) {
    if (!keys.ok() && profile.contains(unsupported)) {
      return MakeError(
          StatusCode::kUnimplemented,
          fmt::format("it takes its keys by {}, which is not supported; give them by variables: "
                      "`aws configure export-credentials --format env`",
                      unsupported));
    }
  }
  return keys;
}

StatusOr<AwsKeys> AwsKeySource::BaseOfRole(const AwsProfiles& profiles, const std::string& name,
                                           const std::string& region, int depth) {
  const AwsProfile& profile = profiles.at(name);
  const std::string& source = ValueOf(profile, "source_profile");
  const std::string& service = ValueOf(profile, "credential_source");
  StatusOr<AwsKeys> base =
      MakeError(StatusCode::kInvalidArgument,
                "it has a role_arn, but no usable source_profile, credential_source or "
                "web_identity_token_file");
  if (source == name) {
    base = KeysOf(profile);
  } else if (!source.empty()) {
    base = OfProfile(profiles, source, region, depth + 1);
  } else if (service == "Environment") {
    base = OfVariables();
  } else if (service == "EcsContainer") {
    base = OfContainer();
  } else if (service == "Ec2InstanceMetadata") {
    base = OfInstance();
  }
  // The profile was chosen, so its source must be there.
  return base.status().code() == StatusCode::kNotFound
             ? MakeError(StatusCode::kInvalidArgument, MessageOf(base.status()))
             : base;
}

StatusOr<AwsKeys> AwsKeySource::OfContainer() const {
  const Environment& variables = deps_.environment;
  std::string url = variables.Get("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (const auto& relative = variables.Get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
      !relative.empty()) {
    url = "http://169.254.170.2" + (relative.starts_with('/') ? relative : "/" + relative);
  }
  if (url.empty()) {
    return NotFound("no container's service (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, _FULL_URI)");
  }
  const std::string what = "the container's service";
  const auto parsed = registry::Url::Parse(url);
  if (!parsed.ok()) {
    return Annotate(parsed.status(), "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  }
  if (!MayAskContainerService(*parsed)) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("AWS_CONTAINER_CREDENTIALS_FULL_URI is {}, which is neither https, "
                    "nor this machine, nor a service of ECS or EKS",
                    parsed->ForMessages()));
  }
  HttpRequest request{.url = parsed->text()};
  std::string token = variables.Get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const auto& file = variables.Get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
    ASSIGN_OR_RETURN(token, ReadToken(deps_.files, file));
  }
  if (!token.empty()) {
    request.headers.push_back({.name = "Authorization", .value = token});
  }
  ASSIGN_OR_RETURN(const HttpResponse response, deps_.web.AskNearby(std::move(request)));
  if (response.status != 200) {
    return ErrorOfService(response, what, {token});
  }
  return Renewable(ParseAwsKeys(response.body), what);
}

StatusOr<AwsKeys> AwsKeySource::OfInstance() const {
  const Environment& variables = deps_.environment;
  if (variables.Get("AWS_EC2_METADATA_DISABLED") == "true") {
    return NotFound("the instance's metadata service is not asked (AWS_EC2_METADATA_DISABLED)");
  }
  std::string base = variables.Get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (base.empty()) {
    base = variables.Get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") == "IPv6"
               ? "http://[fd00:ec2::254]"
               : "http://169.254.169.254";
  }
  while (base.ends_with('/')) {
    base.pop_back();
  }
  const std::string what = fmt::format("the instance's metadata service {}", base);
  const auto session = deps_.web.AskNearby(
      {.method = "PUT",
       .url = base + "/latest/api/token",
       .headers = {{.name = "X-aws-ec2-metadata-token-ttl-seconds", .value = "300"}}});
  if (!session.ok()) {
    return NotFound(fmt::format("{} does not answer", what));
  }
  if (session->status != 200) {
    return NotFound(fmt::format("{} gives no session ({})", what, session->status));
  }
  const std::string token(TrimSpace(AsText(session->body)));
  const auto get = [&](const std::string& path) -> StatusOr<HttpResponse> {
    auto response = deps_.web.AskNearby(
        {.url = base + path, .headers = {{.name = "X-aws-ec2-metadata-token", .value = token}}});
    return response.ok() ? std::move(response) : Annotate(response.status(), what);
  };
  const std::string roles = "/latest/meta-data/iam/security-credentials/";
  ASSIGN_OR_RETURN(const HttpResponse names, get(roles));
  const std::string_view list = AsText(names.body);
  const std::string role(TrimSpace(list.substr(0, list.find('\n'))));
  if (names.status == 404 || (names.status == 200 && role.empty())) {
    return NotFound("the instance has no role");
  }
  if (names.status != 200) {
    return ErrorOfService(names, what, {token});
  }
  ASSIGN_OR_RETURN(const HttpResponse response, get(roles + PercentEncode(role)));
  if (response.status != 200) {
    return ErrorOfService(response, what, {token});
  }
  return Renewable(ParseAwsKeys(response.body), what);
}

std::string AwsKeySource::StsUrl(const std::string& region) const {
  return AwsEndpoint(deps_.environment, "STS",
                     fmt::format("https://sts.{}.{}/", region, AwsDomain(region)));
}

StatusOr<AwsKeys> AwsKeySource::AssumeRole(const Role& role, const AwsKeys& base,
                                           const std::string& region) const {
  std::vector<FormField> fields = {
      {"Action", "AssumeRole"},
      {"Version", std::string(kStsVersion)},
      {"RoleArn", role.arn},
      {"RoleSessionName", role.session_name.empty() ? "starling" : role.session_name}};
  if (!role.external_id.empty()) {
    fields.push_back({"ExternalId", role.external_id});
  }
  HttpRequest form = FormRequest(StsUrl(region), fields);
  ASSIGN_OR_RETURN(
      HttpRequest request,
      SignedPost(form.url, std::move(form.headers), std::move(form.body), base,
                 {.region = region, .service = "sts", .time = deps_.clock.WallTime()}));
  return AskSts(std::move(request), {base.secret_access_key, base.session_token});
}

StatusOr<AwsKeys> AwsKeySource::AssumeRoleByWebIdentity(const Role& role,
                                                        const std::string& token_file,
                                                        const std::string& region) const {
  // Read each time: whoever writes it renews it.
  ASSIGN_OR_RETURN(const std::string token, ReadToken(deps_.files, token_file));
  return AskSts(
      FormRequest(StsUrl(region),
                  {{"Action", "AssumeRoleWithWebIdentity"},
                   {"Version", std::string(kStsVersion)},
                   {"RoleArn", role.arn},
                   {"RoleSessionName", role.session_name.empty() ? "starling" : role.session_name},
                   {"WebIdentityToken", token}}),
      {token});
}

StatusOr<AwsKeys> AwsKeySource::AskSts(HttpRequest request,
                                       const std::vector<std::string>& secrets) const {
  const auto url = registry::Url::Parse(request.url);
  const std::string what =
      fmt::format("STS {}", url.ok() ? url->ForMessages() : std::string("of a bad URL"));
  const auto response = deps_.web.Ask(std::move(request));
  if (!response.ok()) {
    return Annotate(response.status(), what);
  }
  if (response->status != 200) {
    const std::string words = StsErrorWords(response->body);
    const Status error = ErrorOfService(*response, what, secrets);
    return words.empty() || TellsSecret(words, secrets)
               ? error
               : MakeError(error.code(), fmt::format("{} ({})", MessageOf(error), words));
  }
  return Renewable(ParseStsAnswer(response->body), what);
}

/// The keys of an answer of `what`, with the time at which others are to be fetched.
StatusOr<AwsKeys> AwsKeySource::Renewable(StatusOr<AwsTemporaryKeys> found,
                                          std::string_view what) const {
  if (!found.ok()) {
    return Annotate(found.status(), what);
  }
  found->keys.renew_at = RenewalOf(deps_.clock, found->expires_at);
  return std::move(found->keys);
}

}  // namespace starling::credentials
