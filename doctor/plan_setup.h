#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "doctor/host.h"
#include "setup/toml_edit.h"

namespace starling::doctor {

/// "containerd", "nerdctl", "cri", "k3s".
std::string_view NameOf(Client client);
std::optional<Client> ClientNamed(std::string_view name);

/// The files that tell `client` of Starling, and what they still need; empty: nothing. What is
/// planned for kCri holds what is planned for kContainerd. kFailedPrecondition: k3s is too old;
/// other errors as PlanToml.
StatusOr<std::vector<setup::FilePlan>> PlanSetup(const Host& host, Client client);

/// The files that PlanSetup changes, whether they need it or not.
std::vector<std::string> FilesOfSetup(const Host& host, Client client);

/// What has to be restarted afterwards; nothing for nerdctl.
std::optional<Step> AfterSetup(const Host& host, Client client);

}  // namespace starling::doctor
