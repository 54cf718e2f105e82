#include <algorithm>

#include "doctor/checks.h"

namespace starling::doctor {
namespace {

bool IsChecked(const Host& host) {
  return host.Uses(Client::kContainerd) && host.containerd_config() != nullptr;
}

setup::Plugin PluginOf(const Host& host) {
  return {.name = host.places().snapshotter,
          .socket = host.starling_socket(),
          .root = "",
          .maps_ids = false};
}

/// `finding` with what has to be done to containerd's files so that they say what is wanted;
/// nothing when they do.
Findings IfNotSaid(const Host& host, const setup::Wanted& wanted, Finding finding) {
  const auto plans = host.containerd_config()->Plan(wanted, "");
  if (!plans.ok()) {
    finding.cure = {Step::Advise(std::string(MessageOf(plans.status()))),
                    host.Restart("containerd")};
    return {finding};
  }
  if (plans->empty()) {
    return {};
  }
  for (const auto& plan : *plans) {
    for (const setup::Conflict& conflict : plan.plan.conflicts) {
      finding.what += fmt::format(" ({}:{}:{}: {} = {})", plan.path, conflict.line, conflict.column,
                                  conflict.key, conflict.present);
    }
    std::vector<setup::LineEdit> edits = plan.plan.AllEdits();
    // A new file must say for which version it is written.
    if (!plan.exists) {
      edits.insert(edits.begin(),
                   {.line = 1,
                    .removed = 0,
                    .added = {fmt::format("version = {}", host.containerd_config_version()), ""}});
    }
    finding.cure.push_back(
        {.file = plan.path, .edits = std::move(edits), .lines = setup::LinesOf(plan.text).size()});
  }
  finding.cure.push_back(host.Restart("containerd"));
  return {finding};
}

std::string Uri(const char* type, const std::string& name) { return type + ("." + name); }

}  // namespace

Findings CheckContainerdFile(const Host& host) {
  if (!host.Uses(Client::kContainerd)) {
    return {};
  }
  const std::string& path = host.places().containerd_config;
  if (host.containerd_status().code() == StatusCode::kPermissionDenied) {
    return {};  // CheckPrivileges says it
  }
  if (!host.containerd_status().ok()) {
    const std::string message(MessageOf(host.containerd_status()));
    const std::string file = message.substr(0, message.find(':'));
    return {{.check = "containerd.file",
             .severity = Severity::kError,
             .what = "containerd's configuration cannot be read: " + message,
             .why = "containerd does not start with it",
             .cure = {host.CommentOut(file, LineOf(host.containerd_status(), file))}}};
  }
  const setup::ContainerdConfig& config = *host.containerd_config();
  if (config.exists() && config.version() < 2 && host.containerd_version().major >= 2) {
    const bool is_safe = !config.HasTable({"plugins"}) && !config.says_version();
    return {{.check = "containerd.file-version",
             .severity = Severity::kWarning,
             .what = fmt::format(
                 "{} does not say its version, so containerd takes it for the first", path),
             .why = "sections with the names of containerd 2.x are not read",
             .cure = {is_safe ? Step{.file = path,
                                     .edits = {{.line = 1, .removed = 0, .added = {"version = 2"}}},
                                     .lines = setup::LinesOf(*host.Read(path)).size()}
                              : Step::Run(fmt::format(
                                    "containerd -c {} config migrate >{}.new && mv {}.new {}", path,
                                    path, path, path)),
                      host.Restart("containerd")}}};
  }
  return {};
}

Findings CheckContainerdAnswers(const Host& host) {
  if (!host.Uses(Client::kContainerd)) {
    return {};
  }
  if (!host.containerd().ok()) {
    return {{.check = "containerd.answers",
             .severity = Severity::kError,
             .what = fmt::format("containerd does not answer on {}: {}", host.containerd_socket(),
                                 MessageOf(host.containerd().status())),
             .why = "nothing can be pulled or run with it",
             .cure = {host.Restart("containerd")}}};
  }
  if (host.containerd_version() < setup::ContainerdVersion{1, 6}) {
    return {{.check = "containerd.version",
             .severity = Severity::kError,
             .what = fmt::format("containerd {} is older than 1.6", host.containerd()->version),
             .why = "its snapshots service is not the one that Starling speaks",
             .cure = {Step::Advise("install containerd 1.6 or later")}}};
  }
  return {};
}

Findings CheckPlugin(const Host& host) {
  if (!IsChecked(host)) {
    return {};
  }
  return IfNotSaid(
      host, setup::ProxyPlugin(PluginOf(host)),
      {.check = "containerd.plugin",
       .severity = Severity::kError,
       .what = fmt::format("containerd is not told of the snapshotter \"{}\" at {}",
                           host.places().snapshotter, host.starling_socket()),
       .why = "containerd cannot call starlingd, so pulls with this snapshotter fail"});
}

Findings CheckAnnotations(const Host& host) {
  if (!IsChecked(host) || host.containerd_version() < setup::ContainerdVersion{2, 1}) {
    return {};
  }
  return IfNotSaid(host, setup::Annotations(PluginOf(host)),
                   {.check = "containerd.annotations",
                    .severity = Severity::kError,
                    .what = "containerd does not tell the snapshotter which image and layer it "
                            "prepares a snapshot for",
                    .why = "pulls of nerdctl and ctr are not lazy: every layer is downloaded"});
}

Findings CheckUnpacking(const Host& host) {
  if (!IsChecked(host) || host.containerd_version().major < 2) {
    return {};
  }
  return IfNotSaid(
      host, setup::UnpackConfig(PluginOf(host)),
      {.check = "containerd.unpack-config",
       .severity = Severity::kError,
       .what = "the transfer service has no unpack_config for all snapshotters in use",
       .why = "pulls of nerdctl and ctr fail with \"no unpack platforms defined\"; the "
              "list replaces the default, so it needs overlayfs, too"});
}

Findings CheckDisabledPlugins(const Host& host) {
  if (!IsChecked(host)) {
    return {};
  }
  Findings findings;
  const auto check = [&](const std::string& plugin, const char* why) {
    const setup::WantedKey wanted{{},
                                  "disabled_plugins",
                                  std::vector<std::string>{plugin},
                                  setup::WantedKey::Match::kExcludes};
    for (Finding& found :
         IfNotSaid(host, {.keys = {wanted}, .lists = {}},
                   {.check = "containerd.disabled",
                    .severity = Severity::kError,
                    .what = fmt::format("containerd's plugin {} is disabled", plugin),
                    .why = why})) {
      findings.push_back(std::move(found));
    }
  };
  check(Uri("io.containerd.snapshotter.v1", host.places().snapshotter),
        "containerd does not offer the snapshotter");
  if (host.containerd_version().major >= 2) {
    check("io.containerd.transfer.v1.local", "nerdctl and ctr pull with it");
  }
  if (host.Uses(Client::kCri)) {
    for (const char* plugin : {"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"}) {
      check(plugin, "kubelet pulls images and runs pods with it");
    }
  }
  return findings;
}

Findings CheckMappedIds(const Host& host) {
  if (!IsChecked(host) || !host.machine().IsRoot() || host.maps_ids()) {
    return {};
  }
  const std::vector<std::string> present =
      host.containerd_config()->Texts({"proxy_plugins", host.places().snapshotter, "capabilities"});
  if (std::ranges::count(present, "remap-ids") == 0) {
    return {};
  }
  const setup::WantedKey wanted{{"proxy_plugins", host.places().snapshotter},
                                "capabilities",
                                std::vector<std::string>{"remap-ids"},
                                setup::WantedKey::Match::kExcludes};
  return IfNotSaid(
      host, {.keys = {wanted}, .lists = {}},
      {.check = "containerd.remap-ids",
       .severity = Severity::kWarning,
       .what = fmt::format("the snapshotter has the capability remap-ids, which Linux {} "
                           "cannot do with the file system of {}",
                           host.machine().KernelRelease(), host.settings().root),
       .why = "containers in user namespaces do not start"});
}

Findings CheckPluginLoaded(const Host& host) {
  if (!IsChecked(host) || !host.containerd().ok()) {
    return {};
  }
  const auto says = host.containerd_config()->Plan(setup::ProxyPlugin(PluginOf(host)), "");
  if (!says.ok() || !says->empty()) {
    return {};  // CheckPlugin has said it
  }
  const auto& plugins = host.containerd()->snapshotters;
  const auto plugin = plugins.find(host.places().snapshotter);
  std::string what;
  if (plugin == plugins.end()) {
    what = fmt::format("the containerd that runs has no snapshotter \"{}\"",
                       host.places().snapshotter);
  } else if (!plugin->second.error.empty()) {
    what = fmt::format("the containerd that runs cannot use the snapshotter \"{}\": {}",
                       host.places().snapshotter, plugin->second.error);
  } else if (!plugin->second.socket.empty() && plugin->second.socket != host.starling_socket()) {
    what = fmt::format("the containerd that runs asks {} for the snapshotter \"{}\"",
                       plugin->second.socket, host.places().snapshotter);
  } else if (host.containerd_version() >= setup::ContainerdVersion{2, 1} &&
             !plugin->second.exports.contains("enable_remote_snapshot_annotations") &&
             host.containerd_config()->Plan(setup::Annotations(PluginOf(host)), "")->empty()) {
    what = "the containerd that runs does not know of enable_remote_snapshot_annotations";
  } else {
    return {};
  }
  return {
      {.check = "containerd.loaded",
       .severity = Severity::kError,
       .what = what,
       .why = fmt::format("its configuration says so, but was changed after it was started ({})",
                          host.places().containerd_config),
       .cure = {host.Restart("containerd")}}};
}

Findings CheckCri(const Host& host) {
  if (!IsChecked(host) || !host.Uses(Client::kCri)) {
    return {};
  }
  const setup::Wanted wanted =
      setup::ForCri(host.containerd_config_version(), host.places().snapshotter);
  Findings findings =
      IfNotSaid(host, {.keys = {wanted.keys[0]}, .lists = {}},
                {.check = "cri.snapshotter",
                 .severity = Severity::kError,
                 .what = fmt::format("pulls of kubelet do not use the snapshotter \"{}\"",
                                     host.places().snapshotter),
                 .why = "images of pods are downloaded and unpacked with overlayfs"});
  for (Finding& found :
       IfNotSaid(host, {.keys = {wanted.keys[1]}, .lists = {}},
                 {.check = "cri.annotations",
                  .severity = Severity::kError,
                  .what = "pulls of kubelet do not tell the snapshotter which image and layer it "
                          "prepares a snapshot for",
                  .why = "they are not lazy: every layer is downloaded"})) {
    findings.push_back(std::move(found));
  }
  return findings;
}

Findings CheckCriMirrors(const Host& host) {
  if (!IsChecked(host) || !host.Uses(Client::kCri)) {
    return {};
  }
  setup::TomlPath path = setup::CriTable(host.containerd_config_version());
  if (host.containerd_config_version() < 3) {
    path.pop_back();
  }
  path.insert(path.end(), {"registry", "config_path"});
  const std::string theirs = host.containerd_config()->Text(path);
  std::string ours;
  for (const std::string& directory : host.settings().registry.config_path) {
    ours += (ours.empty() ? "" : ":") + directory;
  }
  if (theirs.empty() || theirs == ours) {
    return {};
  }
  return {{.check = "cri.mirrors",
           .severity = Severity::kWarning,
           .what = fmt::format("containerd finds mirrors and certificates of registries in {}, "
                               "starlingd in {}",
                               theirs, ours.empty() ? "no directory" : ours),
           .why = "an image is pulled by a mirror, and its layers are read from elsewhere",
           .cure = {host.Edit(host.places().starling_config,
                              {.keys = {{{"registry"}, "config_path", theirs}}, .lists = {}}),
                    host.Restart("starling")}}};
}

Findings CheckCriBackend(const Host& host) {
  const config::Settings::Cri& cri = host.settings().cri;
  if (cri.image_socket.empty() || cri.backend == host.containerd_socket() ||
      host.Uses(Client::kK3s)) {
    return {};
  }
  return {
      {.check = "cri.backend",
       .severity = Severity::kError,
       .what = fmt::format("starlingd passes calls of kubelet on to {}, containerd is at {}",
                           cri.backend, host.containerd_socket()),
       .why = "kubelet's pulls fail",
       .cure = {host.Edit(host.places().starling_config,
                          {.keys = {{{"cri"}, "backend", host.containerd_socket()}}, .lists = {}}),
                host.Restart("starling")}}};
}

}  // namespace starling::doctor
