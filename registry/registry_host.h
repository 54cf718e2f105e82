#pragma once

#include <memory>
#include <string>
#include <vector>

#include "registry/http_transport.h"
#include "registry/url.h"

namespace starling::registry {

/// One place that serves the repositories of a registry: itself or a mirror of it.
struct RegistryHost {
  /// With the path in front of "<repository>/blobs/...": "https://ghcr.io/v2".
  Url api;
  /// It serves many registries and must be told which one is meant (the parameter "ns").
  bool is_mirror = false;
  bool can_pull = true;     // what a digest names
  bool can_resolve = true;  // what a tag names
  bool can_push = true;
  std::vector<Header> headers;  // of every request to it, and to nobody else
  std::shared_ptr<const ConnectionOptions> connection;  // null: as to all others

  /// "ghcr.io" or "mirror:5000", as credentials are kept for it.
  std::string name() const { return HostAndPort(api); }
};

/// How to connect to `to`, which the registry at `from` has named: as to itself if it is the same
/// host, and else with the same trust in certificates only.
std::shared_ptr<const ConnectionOptions> ConnectionFor(
    const Url& from, std::shared_ptr<const ConnectionOptions> options, const Url& to);

}  // namespace starling::registry
