/// Which system calls a process may use, for the case that somebody else decides what it does.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace starling::confine {

/// What stays allowed: what the server uses, and what programs do that it executes.
std::vector<std::string> AllowedSystemCalls();

/// From now on the calling thread, the threads that it starts and the programs that they execute
/// can use AllowedSystemCalls and sockets of the families unix, inet, inet6 and netlink. Another
/// call fails with ENOSYS, as on a kernel that has none, another family with EAFNOSUPPORT; the
/// kernel's audit log tells of both. Cannot be undone. To be called before threads are started, as
/// root. Fails where the kernel has no seccomp filters.
Status LimitSystemCalls();

}  // namespace starling::confine
