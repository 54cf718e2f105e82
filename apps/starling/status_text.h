/// What commands share that tell how a process fares with its layers.
#pragma once

#include <nlohmann/json.hpp>
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

/// RFC 3339, to the millisecond.
std::string FormatTimestamp(std::chrono::system_clock::time_point time);
double Seconds(layer::ReadTimes::Duration time);
/// "310 ms", "1.2 s".
std::string TimeText(layer::ReadTimes::Duration time);
/// As the layer's author wrote it: not for a terminal as it is.
std::string FileText(const layer::NamedRead& named);
std::string FileText(const layer::NamedWait& named);

nlohmann::ordered_json ToJson(const layer::ReadTimes& times);
nlohmann::ordered_json ReadsToJson(const std::vector<layer::NamedRead>& reads);
nlohmann::ordered_json WaitsToJson(const std::vector<layer::NamedWait>& waits);

}  // namespace starling::cli
