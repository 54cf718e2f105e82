/// The process that outlives the server: it holds what must not be lost and does nothing else. It
/// opens no file of the server's, reads nothing of what it keeps, and has one thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::keeper {

/// What this program's command line is extended by for its other roles; each is followed by "=" and
/// a descriptor's number, that of a state file (TakeInherited).
inline constexpr std::string_view kServerOption = "--keeper-server";
inline constexpr std::string_view kCheckOption = "--keeper-check";
inline constexpr std::string_view kResumeOption = "--keeper-resume";

/// Names of descriptors that the keeper itself knows.
inline constexpr std::string_view kChannelName = "channel";    // the server's end, for the server
inline constexpr std::string_view kListenerName = "listener";  // passed by the service manager

struct KeeperOptions {
  /// The command line that this keeper was started with, without any of the options above.
  std::vector<std::string> arguments;
  /// Of kResumeOption; none at the first start.
  UniqueFd resume;
};

/// Starts the server, which is this same program, and keeps one running until SIGTERM or SIGINT
/// (it stops and unmounts) or until it fails before it has ever served. SIGHUP: the program on the
/// disk takes over. Returns the exit code. Errors: what kept the keeper from starting.
StatusOr<int> RunKeeper(KeeperOptions options);

}  // namespace starling::keeper
