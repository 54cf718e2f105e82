#include "doctor/plan_setup.h"

#include <algorithm>
#include <array>

namespace starling::doctor {
namespace {

constexpr std::array<std::pair<std::string_view, Client>, 4> kClients = {
    {{"containerd", Client::kContainerd},
     {"nerdctl", Client::kNerdctl},
     {"cri", Client::kCri},
     {"k3s", Client::kK3s}}};

}  // namespace

std::string_view NameOf(Client client) {
  return std::ranges::find(kClients, client, &std::pair<std::string_view, Client>::second)->first;
}

std::optional<Client> ClientNamed(std::string_view name) {
  const auto* const found =
      std::ranges::find(kClients, name, &std::pair<std::string_view, Client>::first);
  return found == kClients.end() ? std::nullopt : std::optional(found->second);
}

StatusOr<std::vector<setup::FilePlan>> PlanSetup(const Host& host, Client client) {
  const std::string comment = fmt::format("# Starling, by `starling setup {}`", NameOf(client));
  setup::Plugin plugin{.name = host.places().snapshotter,
                       .socket = host.starling_socket(),
                       .root = host.settings().root,
                       .maps_ids = host.maps_ids() && host.containerd_version().major >= 2};
  if (client == Client::kNerdctl) {
    const std::string& file = host.places().nerdctl_config;
    const StatusOr<std::string> text = host.Read(file);
    if (!text.ok() && text.status().code() != StatusCode::kNotFound) {
      return text.status();
    }
    setup::FilePlan plan{.path = file, .exists = text.ok(), .text = text.ok() ? *text : ""};
    ASSIGN_OR_RETURN(plan.plan,
                     setup::PlanToml(plan.text, file, setup::ForNerdctl(plugin.name), comment));
    return plan.plan.empty() ? std::vector<setup::FilePlan>()
                             : std::vector<setup::FilePlan>{std::move(plan)};
  }
  if (client == Client::kK3s) {
    if (host.containerd().ok() && host.containerd_version() < setup::ContainerdVersion{2, 1}) {
      return MakeError(
          StatusCode::kFailedPrecondition,
          fmt::format("containerd of this k3s is {}; 2.1 or later can pull lazily with "
                      "a snapshotter that is not its own",
                      host.containerd()->version));
    }
    plugin.name = setup::kK3sPluginName;
    plugin.maps_ids = host.maps_ids();
    return setup::PlanK3s(host.root(), host.places().k3s, plugin, comment);
  }
  RETURN_IF_ERROR(host.containerd_status());
  const setup::ContainerdConfig& config = *host.containerd_config();
  setup::Wanted wanted;
  if (!config.exists()) {
    wanted.keys.push_back({{}, "version", int64_t{host.containerd_config_version()}});
  }
  wanted.Add(setup::ForContainerd(host.containerd_version(), plugin));
  if (client == Client::kCri) {
    wanted.Add(setup::ForCri(host.containerd_config_version(), plugin.name));
  }
  return config.Plan(wanted, comment);
}

std::vector<std::string> FilesOfSetup(const Host& host, Client client) {
  switch (client) {
    case Client::kNerdctl:
      return {host.places().nerdctl_config};
    case Client::kK3s:
      return {host.places().k3s.template_file, host.places().k3s.config_file};
    case Client::kContainerd:
    case Client::kCri:
      break;
  }
  return host.containerd_config() == nullptr ? std::vector{host.places().containerd_config}
                                             : host.containerd_config()->Paths();
}

std::optional<Step> AfterSetup(const Host& host, Client client) {
  switch (client) {
    case Client::kNerdctl:
      return std::nullopt;
    case Client::kK3s:
      return host.Restart("k3s");
    case Client::kContainerd:
    case Client::kCri:
      break;
  }
  return host.Restart("containerd");
}

}  // namespace starling::doctor
