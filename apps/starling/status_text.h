/// What commands share that tell how a process fares with its layers.
#pragma once

#include <string>
#include <vector>

#include "apps/starling/commands.h"
#include "apps/starling/daemon_secret.h"
#include "layer/status.h"

namespace starling::cli {

/// Whose status: starlingd's, or that of a `starling mount`.
struct StatusPlace {
  std::string address = kDaemonSocket;
  std::string root;
  std::string mount;

  bool is_of_mount() const { return !root.empty() || !mount.empty(); }
};

/// --address, --mount and --root.
void AddStatusPlace(CLI::App& command, StatusPlace& place);
/// The socket to ask.
StatusOr<std::string> SocketOf(const StatusPlace& place);

/// "310 ms", "1.2 s".
std::string TimeText(layer::ReadTimes::Duration time);
/// As the layer's author wrote it: not for a terminal as it is.
std::string FileText(const layer::NamedRead& named);
std::string FileText(const layer::NamedWait& named);
std::string FileText(const layer::ImageStart::Fetch& named);

}  // namespace starling::cli
