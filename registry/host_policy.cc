#include "registry/host_policy.h"

#include <algorithm>

#include "registry/address_kind.h"

namespace starling::registry {
namespace {

bool IsListed(const std::vector<std::string>& hosts, const Url& url) {
  const bool is_v6 = url.host().find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", url.host()) : url.host();
  const std::string host_and_port = fmt::format("{}:{}", host, url.port());
  return std::any_of(hosts.begin(), hosts.end(), [&](const std::string& listed) {
    return listed == host || listed == host_and_port;
  });
}

}  // namespace

bool HostPolicy::AllowsPlainHttp(const Url& url) const {
  return IsLoopback(url.host()) || IsListed(plain_http_hosts, url);
}

StatusOr<Url> HostPolicy::BaseUrl(std::string_view host) const {
  ASSIGN_OR_RETURN(Url plain, Url::Parse(fmt::format("http://{}", host)));
  if (AllowsPlainHttp(plain)) {
    return plain;
  }
  return Url::Parse(fmt::format("https://{}", host));
}

Reach HostPolicy::ReachOf(const Url& registry, const Url& to) const {
  if (registry.host() == to.host() || IsListed(local_hosts, to)) {
    return Reach::kAnywhere;
  }
  return IsLoopback(registry.host()) ? Reach::kNotLocal : Reach::kOrdinary;
}

bool HostPolicy::MayReceiveCredentials(const Url& registry, const Url& realm) const {
  return registry.encrypted() || IsLoopback(registry.host()) || registry.host() == realm.host() ||
         IsListed(plain_http_hosts, realm) || IsListed(local_hosts, realm);
}

Status HostPolicy::CheckStep(const Url& from, const Url& to) const {
  if (!MayReach(ReachOf(from, to), KindOf(to.host()))) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} leads to {}, an address of this machine or its link; allow it "
                                 "with [registry.hosts.\"{}\"] local = true if that is meant",
                                 from.ForMessages(), to.ForMessages(), to.host()));
  }
  if (to.encrypted() || (AllowsPlainHttp(to) && AllowsPlainHttp(from))) {
    return OkStatus();
  }
  return MakeError(StatusCode::kFailedPrecondition,
                   fmt::format("{} leads to {}, which is not encrypted; list its host as plain "
                               "HTTP if that is meant",
                               from.ForMessages(), to.ForMessages()));
}

}  // namespace starling::registry
