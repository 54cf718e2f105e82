#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "registry/host_policy.h"
#include "registry/registry_host.h"

namespace starling::registry {

/// containerd's directories of registries (`certs.d`): for each registry a directory with
/// hosts.toml, or with certificates as docker keeps them (*.crt to trust, NAME.cert and NAME.key to
/// show).
/// `_default` is for registries without one. Changes are seen within seconds.
/// Threads: safe; may block for the disk.
class HostsDirectory {
 public:
  /// `roots` are asked in order, the first that has a directory counts; they may not exist.
  HostsDirectory(std::vector<std::filesystem::path> roots, Clock& clock);

  /// The places to ask for what is called `domain` ("docker.io", "host:port"), best first; never
  /// empty. The registry itself is at `own_host`, spoken to as `policy` tells. Errors name file and
  /// line.
  StatusOr<std::vector<RegistryHost>> HostsOf(const std::string& domain,
                                              const std::string& own_host,
                                              const HostPolicy& policy);

 private:
  struct Known {
    std::chrono::steady_clock::time_point read_at;
    StatusOr<std::vector<RegistryHost>> hosts;
  };
  std::filesystem::path DirectoryOf(const std::string& domain) const;
  StatusOr<std::vector<RegistryHost>> Read(const std::string& domain, const std::string& own_host,
                                           const HostPolicy& policy) const;

  const std::vector<std::filesystem::path> roots_;
  Clock& clock_;
  Mutex mutex_;  // leaf
  std::map<std::string, Known> known_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
