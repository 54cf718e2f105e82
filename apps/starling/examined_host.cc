#include "apps/starling/examined_host.h"

namespace starling::cli {

/// The last one counts, so that an alias of the command can be changed.
void AddPlaces(CLI::App& command, doctor::Places& places) {
  const auto add = [&command](const char* name, std::string& value, const char* description) {
    return command.add_option(name, value, description)->take_last();
  };
  add("--config", places.starling_config, "starlingd's configuration")->capture_default_str();
  add("--address", places.starling_socket, "starlingd's socket, if not as its configuration says")
      ->envname("STARLING_ADDRESS");
  add("--containerd", places.containerd_socket,
      "containerd's socket, if not as its configuration says")
      ->envname("CONTAINERD_ADDRESS");
  add("--containerd-config", places.containerd_config, "containerd's configuration")
      ->capture_default_str();
  add("--nerdctl-config", places.nerdctl_config, "nerdctl's configuration")
      ->envname("NERDCTL_TOML")
      ->capture_default_str();
  add("--snapshotter", places.snapshotter, "What clients call it; \"starling\" for k3s")
      ->capture_default_str();
}

}  // namespace starling::cli
