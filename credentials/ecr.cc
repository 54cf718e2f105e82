#include "credentials/ecr.h"

#include <algorithm>
#include <utility>

#include "credentials/aws_answers.h"
#include "credentials/aws_endpoint.h"

namespace starling::credentials {
namespace {

/// What Amazon's public registry and the others are asked by.
struct Service {
  std::string_view name;
  std::string variable;
  std::string url;
  std::string target;
};

Service ServiceOf(const EcrRegistry& registry) {
  if (registry.is_public) {
    return {.name = "ecr-public",
            .variable = "ECR_PUBLIC",
            .url = "https://api.ecr-public.us-east-1.amazonaws.com/",
            .target = "SpencerFrontendService.GetAuthorizationToken"};
  }
  const std::string fips = registry.is_fips ? "-fips" : "";
  const std::string usual =
      registry.is_dual_stack ? fmt::format("https://ecr{}.{}.api.aws/", fips, registry.region)
      : registry.is_fips
          ? fmt::format("https://ecr-fips.{}.{}/", registry.region, AwsDomain(registry.region))
          : fmt::format("https://api.ecr.{}.{}/", registry.region, AwsDomain(registry.region));
  return {.name = "ecr",
          .variable = "ECR",
          .url = usual,
          .target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"};
}

/// Everybody may read the public registry: no machine's identity is needed for it.
AwsKeySource::Instance InstanceFor(const EcrRegistry& registry) {
  return registry.is_public ? AwsKeySource::Instance::kIsLeftAlone
                            : AwsKeySource::Instance::kMayBeAsked;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::optional<EcrRegistry> ParseEcrHost(std::string_view host) {
  if (host == "public.ecr.aws") {
    return EcrRegistry{.is_public = true, .region = "us-east-1"};
  }
  constexpr size_t kAccountDigits = 12;
  EcrRegistry registry{.account = std::string(host.substr(0, kAccountDigits))};
  const bool has_account =
      registry.account.size() == kAccountDigits &&
      std::ranges::all_of(registry.account, [](char c) { return c >= '0' && c <= '9'; });
  if (!has_account) {
    return std::nullopt;
  }
  host.remove_prefix(kAccountDigits);
  registry.is_dual_stack = TakePrefix(host, ".dkr-ecr");
  if (!registry.is_dual_stack && !TakePrefix(host, ".dkr.ecr")) {
    return std::nullopt;
  }
  registry.is_fips = TakePrefix(host, "-fips");
  if (!TakePrefix(host, ".")) {
    return std::nullopt;
  }
  const size_t dot = std::min(host.find('.'), host.size());
  registry.region = host.substr(0, dot);
  const bool is_region = !registry.region.empty() && registry.region.size() <= 32 &&
                         std::ranges::all_of(registry.region, [](char c) {
                           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                         });
  host.remove_prefix(dot);
  const std::string domain =
      "." + (registry.is_dual_stack ? std::string("on.aws") : AwsDomain(registry.region));
  return is_region && host == domain ? std::optional(registry) : std::nullopt;
}

EcrCredentials::EcrCredentials(SourceDependencies dependencies)
    : deps_(dependencies), keys_(std::move(dependencies)), cache_(deps_.clock) {}

StatusOr<registry::Credentials> EcrCredentials::Find(const registry::CredentialRequest& request) {
  const auto registry = ParseEcrHost(request.registry);
  if (!registry) {
    return MakeError(StatusCode::kNotFound, "");
  }
  return cache_.Get(request.registry, [&] { return Login(*registry); });
}

void EcrCredentials::Refused(const registry::CredentialRequest& request,
                             const registry::Credentials&) {
  if (const auto registry = ParseEcrHost(request.registry)) {
    cache_.Forget(request.registry);
  }
}

StatusOr<EcrCredentials::Cache::Fetched> EcrCredentials::Login(const EcrRegistry& registry) {
  const AwsKeySource::Instance instance = InstanceFor(registry);
  ASSIGN_OR_RETURN(const AwsKeys keys, keys_.Find(registry.region, instance));
  const Service service = ServiceOf(registry);
  ASSIGN_OR_RETURN(registry::HttpRequest request,
                   SignedPost(AwsEndpoint(deps_.environment, service.variable, service.url),
                              {{.name = "Content-Type", .value = "application/x-amz-json-1.1"},
                               {.name = "X-Amz-Target", .value = service.target}},
                              ToBytes("{}"), keys,
                              {.region = registry.region,
                               .service = std::string(service.name),
                               .time = deps_.clock.WallTime()}));
  const std::string what =
      fmt::format("{} GetAuthorizationToken in {}", service.name, registry.region);
  const auto response = deps_.web.Ask(std::move(request));
  if (!response.ok()) {
    return Annotate(response.status(), what);
  }
  if (response->status != 200) {
    keys_.Forget(registry.region, instance);
    return ErrorOfService(*response, what, {keys.secret_access_key, keys.session_token});
  }
  auto login = ParseEcrLogin(response->body);
  if (!login.ok()) {
    return Annotate(login.status(), what);
  }
  const auto renew_at = RenewalOf(deps_.clock, login->expires_at);
  return Cache::Fetched{.value = {.username = std::move(login->username),
                                  .password = std::move(login->password),
                                  .identity_token = "",
                                  .renew_at = renew_at},
                        .renew_at = renew_at};
}

}  // namespace starling::credentials
