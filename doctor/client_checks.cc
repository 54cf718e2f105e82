#include <algorithm>

#include "base/toml.h"
#include "doctor/checks.h"
#include "setup/k3s.h"

namespace starling::doctor {

Findings CheckNerdctl(const Host& host) {
  if (!host.Uses(Client::kNerdctl)) {
    return {};
  }
  const std::string& file = host.places().nerdctl_config;
  const StatusOr<std::string> text = host.Read(file);
  if (!text.ok() && text.status().code() != StatusCode::kNotFound) {
    return {{.check = "nerdctl.file",
             .severity = Severity::kError,
             .what = "nerdctl's configuration cannot be read: " + Describe(text.status()),
             .why = "nerdctl does not run",
             .cure = {Step::Advise("correct " + file)}}};
  }
  const toml::parse_result parsed = toml::parse(text.ok() ? *text : "", file);
  if (!parsed) {
    const size_t line = parsed.error().source().begin.line;
    return {
        {.check = "nerdctl.file",
         .severity = Severity::kError,
         .what = fmt::format("nerdctl's configuration is wrong: {}:{}:{}: {}", file, line,
                             parsed.error().source().begin.column, parsed.error().description()),
         .why = "nerdctl does not run",
         .cure = {host.CommentOut(file, line)}}};
  }
  Findings findings;
  const toml::table& settings = parsed.table();
  const std::string snapshotter = settings["snapshotter"].value_or(std::string());
  if (snapshotter != host.places().snapshotter) {
    findings.push_back(
        {.check = "nerdctl.snapshotter",
         .severity = Severity::kWarning,
         .what = fmt::format("nerdctl uses the snapshotter \"{}\" when it is not told another",
                             snapshotter.empty() ? "overlayfs" : snapshotter),
         .why = "its pulls are lazy with --snapshotter only",
         .cure = {host.Edit(file, setup::ForNerdctl(host.places().snapshotter))}});
  }
  std::string address = settings["address"].value_or(std::string());
  if (address.starts_with("unix://")) {
    address = address.substr(7);
  }
  if (!address.empty() && address != host.containerd_socket()) {
    findings.push_back(
        {.check = "nerdctl.address",
         .severity = Severity::kError,
         .what = fmt::format("nerdctl calls containerd at {}, it is at {}", address,
                             host.containerd_socket()),
         .why = "nerdctl reaches another containerd, or none",
         .cure = {
             host.Edit(file, {.keys = {{{}, "address", host.containerd_socket()}}, .lists = {}})}});
  }
  if (const toml::array* const directories = settings["hosts_dir"].as_array()) {
    std::vector<std::string> theirs;
    for (const toml::node& item : *directories) {
      theirs.push_back(item.value_or(std::string()));
    }
    if (!theirs.empty() && theirs != host.settings().registry.config_path) {
      std::string joined;
      for (const std::string& directory : theirs) {
        joined += (joined.empty() ? "" : ":") + directory;
      }
      findings.push_back(
          {.check = "nerdctl.mirrors",
           .severity = Severity::kWarning,
           .what = fmt::format("nerdctl finds mirrors and certificates of registries in {}, "
                               "starlingd elsewhere",
                               joined),
           .why = "an image is pulled by a mirror, and its layers are read from elsewhere",
           .cure = {host.Edit(host.places().starling_config,
                              {.keys = {{{"registry"}, "config_path", joined}}, .lists = {}}),
                    host.Restart("starling")}});
    }
  }
  return findings;
}

Findings CheckK3s(const Host& host) {
  if (!host.Uses(Client::kK3s)) {
    return {};
  }
  if (host.containerd().ok() && host.containerd_version() < setup::ContainerdVersion{2, 1}) {
    return {
        {.check = "k3s.version",
         .severity = Severity::kError,
         .what = fmt::format("containerd of k3s is {}, older than 2.1", host.containerd()->version),
         .why = "it tells snapshotters which image and layer they prepare for only if they "
                "are its own",
         .cure = {Step::Advise("use a k3s with containerd 2.1 or later")}}};
  }
  const auto plans =
      setup::PlanK3s(host.root(), host.places().k3s,
                     {.name = setup::kK3sPluginName, .socket = host.starling_socket()}, "");
  if (!plans.ok()) {
    return {{.check = "k3s.template",
             .severity = Severity::kError,
             .what = "the template of containerd's configuration is wrong: " +
                     std::string(MessageOf(plans.status())),
             .why = "k3s cannot make its configuration of it",
             .cure = {Step::Advise("correct " + host.places().k3s.template_file)}}};
  }
  Findings findings;
  for (const setup::FilePlan& plan : *plans) {
    const bool is_template = plan.path == host.places().k3s.template_file;
    findings.push_back({.check = is_template ? "k3s.template" : "k3s.snapshotter",
                        .severity = Severity::kError,
                        .what = is_template
                                    ? "containerd of k3s is not told of the snapshotter"
                                    : fmt::format("k3s is not told to use the snapshotter \"{}\"",
                                                  setup::kK3sPluginName),
                        .why = "images of pods are downloaded and unpacked",
                        .cure = {{.file = plan.path,
                                  .edits = plan.plan.AllEdits(),
                                  .lines = setup::LinesOf(plan.text).size()},
                                 host.Restart("k3s")}});
  }
  return findings;
}

}  // namespace starling::doctor
