#include "registry/host_policy.h"

#include <algorithm>

namespace starling::registry {

bool HostPolicy::AllowsPlainHttp(const Url& url) const {
  if (IsLoopback(url.host())) {
    return true;
  }
  const bool is_v6 = url.host().find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", url.host()) : url.host();
  const std::string host_and_port = fmt::format("{}:{}", host, url.port());
  return std::any_of(
      plain_http_hosts.begin(), plain_http_hosts.end(),
      [&](const std::string& listed) { return listed == host || listed == host_and_port; });
}

StatusOr<Url> HostPolicy::BaseUrl(std::string_view host) const {
  ASSIGN_OR_RETURN(Url plain, Url::Parse(fmt::format("http://{}", host)));
  if (AllowsPlainHttp(plain)) {
    return plain;
  }
  return Url::Parse(fmt::format("https://{}", host));
}

Status HostPolicy::CheckStep(const Url& from, const Url& to) const {
  if (to.encrypted() || (AllowsPlainHttp(to) && AllowsPlainHttp(from))) {
    return OkStatus();
  }
  return MakeError(StatusCode::kPermissionDenied,
                   fmt::format("{} leads to {}, which is not encrypted; list its host as plain "
                               "HTTP if that is meant",
                               from.ForMessages(), to.ForMessages()));
}

}  // namespace starling::registry
