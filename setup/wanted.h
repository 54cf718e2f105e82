/// What containerd, nerdctl and k3s must be told of Starling.
#pragma once

#include <string>
#include <string_view>

#include "setup/toml_edit.h"

namespace starling::setup {

/// containerd's version, as far as its configuration depends on it.
struct ContainerdVersion {
  int major = 0;
  int minor = 0;

  friend auto operator<=>(const ContainerdVersion&, const ContainerdVersion&) = default;
};

/// "1.6.20~ds1", "v2.3.4", "2.1.0-rc.1". kInvalidArgument for what does not begin so.
StatusOr<ContainerdVersion> ParseContainerdVersion(std::string_view text);

/// The `version` that a new configuration file for it has.
int ConfigVersionFor(ContainerdVersion version);

struct Plugin {
  std::string name = "stargz";  // what clients call the snapshotter
  std::string socket;           // of starlingd
  std::string root;             // where it keeps everything
  bool maps_ids = false;        // mounts of it can have their IDs mapped
};

/// What is asked of clients that pull lazily, in the order of their need.
Wanted ProxyPlugin(const Plugin& plugin);
/// Which image and layer a snapshot is for; needed by containerd 2.1 and later.
Wanted Annotations(const Plugin& plugin);
/// Where the transfer service of containerd 2.x unpacks; the list replaces the default, overlayfs.
Wanted UnpackConfig(const Plugin& plugin);
/// All of the above that `version` needs.
Wanted ForContainerd(ContainerdVersion version, const Plugin& plugin);
/// The same for pulls of kubelet, in a file whose `version` is `config_version`.
Wanted ForCri(int config_version, const std::string& snapshotter);
Wanted ForNerdctl(const std::string& snapshotter);

/// The table of the Container Runtime Interface's images in such a file.
TomlPath CriTable(int config_version);
/// The table of containerd's own gRPC socket.
TomlPath GrpcTable(int config_version);

}  // namespace starling::setup
