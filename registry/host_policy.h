#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "registry/url.h"

namespace starling::registry {

/// Who may be spoken to without encryption: loopback addresses and the hosts listed.
struct HostPolicy {
  std::vector<std::string> plain_http_hosts;  // "host" or "host:port"

  bool AllowsPlainHttp(const Url& url) const;
  /// "http://127.0.0.1:5000" or "https://ghcr.io" for the host of a reference.
  StatusOr<Url> BaseUrl(std::string_view host) const;
  /// An error when a request to `from` must not lead to one to `to`: that would be unencrypted, and
  /// either side is not one that may be.
  Status CheckStep(const Url& from, const Url& to) const;
};

}  // namespace starling::registry
