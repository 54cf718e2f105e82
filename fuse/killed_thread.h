#pragma once

#include <sys/types.h>

#include <string_view>

namespace starling::fuse {

/// Whether a SIGKILL waits for a thread, by the text of its /proc/<id>/status. A signal that ends a
/// process becomes one in each of its threads. Source: complete_signal in Linux.
bool HasPendingKill(std::string_view status);
/// The same of a thread of this machine; false when there is no such thread. Never blocks.
bool IsBeingKilled(pid_t thread);

}  // namespace starling::fuse
