#pragma once

#include <string>
#include <string_view>

namespace starling::containerd {

/// Label of a blob, with a registry's host after it: the repositories there that it came from,
/// between commas. Source: containerd, pkg/labels.
inline constexpr std::string_view kOriginLabelPrefix = "containerd.io/distribution.source.";

/// The label for a registry as references name it. Its host counts, without port and brackets.
/// Source: containerd, core/remotes/docker, AppendDistributionSourceLabel.
inline std::string OriginLabelOf(std::string_view domain) {
  std::string_view host = domain;
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  return std::string(kOriginLabelPrefix) + std::string(host);
}

}  // namespace starling::containerd
