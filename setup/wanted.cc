#include "setup/wanted.h"

#include <charconv>

namespace starling::setup {
namespace {

constexpr const char* kTransferPlugin = "io.containerd.transfer.v1.local";

}  // namespace

StatusOr<ContainerdVersion> ParseContainerdVersion(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('v')) {
    rest.remove_prefix(1);
  }
  ContainerdVersion version;
  const auto major = std::from_chars(rest.data(), rest.data() + rest.size(), version.major);
  if (major.ec == std::errc() && major.ptr != rest.data() + rest.size() && *major.ptr == '.') {
    const auto minor = std::from_chars(major.ptr + 1, rest.data() + rest.size(), version.minor);
    if (minor.ec == std::errc() && version.major >= 0 && version.minor >= 0) {
      return version;
    }
  }
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("\"{}\" is no version of containerd, such as 1.7.2 or v2.3.4",
                               text.substr(0, 100)));
}

int ConfigVersionFor(ContainerdVersion version) { return version.major >= 2 ? 3 : 2; }

Wanted ProxyPlugin(const Plugin& plugin) {
  const TomlPath table = {"proxy_plugins", plugin.name};
  Wanted wanted{.keys = {{table, "type", "snapshot"}, {table, "address", plugin.socket}},
                .lists = {}};
  if (plugin.maps_ids) {
    wanted.keys.push_back({table, "capabilities", std::vector<std::string>{"remap-ids"},
                           WantedKey::Match::kIncludes});
  }
  return wanted;
}

Wanted Annotations(const Plugin& plugin) {
  const TomlPath table = {"proxy_plugins", plugin.name, "exports"};
  Wanted wanted{.keys = {{table, "enable_remote_snapshot_annotations", "true"}}, .lists = {}};
  if (!plugin.root.empty()) {
    wanted.keys.insert(wanted.keys.begin(), {table, "root", plugin.root});
  }
  return wanted;
}

Wanted UnpackConfig(const Plugin& plugin) {
  return {.keys = {},
          .lists = {{{"plugins", kTransferPlugin, "unpack_config"},
                     "snapshotter",
                     {{{"platform", "linux"}, {"snapshotter", plugin.name}},
                      {{"platform", "linux"}, {"snapshotter", "overlayfs"}}}}}};
}

Wanted ForContainerd(ContainerdVersion version, const Plugin& plugin) {
  Wanted wanted = ProxyPlugin(plugin);
  if (version >= ContainerdVersion{2, 1}) {
    wanted.Add(Annotations(plugin));
  }
  if (version.major >= 2) {
    wanted.Add(UnpackConfig(plugin));
  }
  return wanted;
}

Wanted ForCri(int config_version, const std::string& snapshotter) {
  const TomlPath table = CriTable(config_version);
  return {
      .keys = {{table, "snapshotter", snapshotter}, {table, "disable_snapshot_annotations", false}},
      .lists = {}};
}

Wanted ForNerdctl(const std::string& snapshotter) {
  return {.keys = {{{}, "snapshotter", snapshotter}}, .lists = {}};
}

TomlPath CriTable(int config_version) {
  if (config_version >= 3) {
    return {"plugins", "io.containerd.cri.v1.images"};
  }
  if (config_version == 2) {
    return {"plugins", "io.containerd.grpc.v1.cri", "containerd"};
  }
  return {"plugins", "cri", "containerd"};
}

TomlPath GrpcTable(int config_version) {
  return config_version >= 4 ? TomlPath{"plugins", "io.containerd.server.v1.grpc"}
                             : TomlPath{"grpc"};
}

}  // namespace starling::setup
