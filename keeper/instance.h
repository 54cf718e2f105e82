/// The running daemon of a root directory, as another command finds it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>

#include "base/status.h"

namespace starling::keeper {

/// Below the root; locked as long as a server or a keeper of it lives.
inline constexpr const char* kLockFileName = "starlingd.lock";

struct Instance {
  pid_t keeper = 0;
  pid_t server = 0;
  bool operator==(const Instance&) const = default;
};

/// Notes the processes in the lock file, which the caller has locked: when the server serves.
Status WriteInstance(int lock, const Instance& instance);
/// The processes that `lock_file` names. kNotFound when nobody has locked it; kFailedPrecondition
/// when its keeper is gone.
StatusOr<Instance> FindInstance(const std::filesystem::path& lock_file);
/// Has the program on the disk take over from the running one and waits until it serves. Returns
/// the new processes; kDeadlineExceeded when the old ones go on, whose log says why.
StatusOr<Instance> Upgrade(const std::filesystem::path& lock_file,
                           std::chrono::milliseconds timeout);

}  // namespace starling::keeper
