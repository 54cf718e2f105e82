#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "setup/toml_edit.h"
#include "setup/wanted.h"

namespace starling::setup {

/// k3s makes containerd's configuration from a template, and chooses its snapshotter by a key of
/// its own configuration. It has a snapshotter "stargz" itself, so ours needs another name.
struct K3sPlaces {
  std::string template_file = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl";
  std::string config_file = "/etc/rancher/k3s/config.yaml";
  std::string socket = "/run/k3s/containerd/containerd.sock";
};

/// The name that is no snapshotter of k3s.
inline constexpr const char* kK3sPluginName = "starling";

/// What the two files, below `root`, need so that containerd 2.1 or later of k3s pulls lazily;
/// empty: nothing. Lines of the template's own language are left alone. Errors as PlanToml.
StatusOr<std::vector<FilePlan>> PlanK3s(const std::filesystem::path& root, const K3sPlaces& places,
                                        const Plugin& plugin, std::string_view comment);

}  // namespace starling::setup
