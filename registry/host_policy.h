#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "registry/http_transport.h"
#include "registry/url.h"

namespace starling::registry {

/// Who may be spoken to, and how. Without encryption: loopback addresses and the hosts listed. What
/// a registry names (token servers, redirects) may not be near this machine unless it is itself.
struct HostPolicy {
  std::vector<std::string> plain_http_hosts;  // "host" or "host:port"
  std::vector<std::string> local_hosts;       // may be at any address, whoever names them

  bool AllowsPlainHttp(const Url& url) const;
  /// "http://127.0.0.1:5000" or "https://ghcr.io" for the host of a reference.
  StatusOr<Url> BaseUrl(std::string_view host) const;
  /// kFailedPrecondition when a request to `from` must not lead to one to `to`: that would be
  /// unencrypted, and either side is not one that may be; or it is at an address (of names: those
  /// that ReachOf allows) where only what is on this machine should ask.
  Status CheckStep(const Url& from, const Url& to) const;
  /// Where a request to `to` may be connected to, which `registry` named: anywhere when it is the
  /// registry's own host, which the user has named.
  Reach ReachOf(const Url& registry, const Url& to) const;
  /// Whether credentials for `registry` may go to the token server `realm`: not when anybody on
  /// the way may have named it, and it is another host that is not listed.
  bool MayReceiveCredentials(const Url& registry, const Url& realm) const;
};

}  // namespace starling::registry
