/// What a service manager and its services tell each other. Source: sd_notify(3),
/// sd_listen_fds(3), sd_pid_notify_with_fds(3).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::keeper {

/// Tells systemd, or whoever set NOTIFY_SOCKET, about our state: "READY=1", "STOPPING=1". With
/// "FDSTORE=1\nFDNAME=NAME" it keeps copies of `fds` (at most 32) for our next start. OK when
/// nobody wants to know.
Status NotifyServiceManager(std::string_view state, std::span<const int> fds = {});

struct PassedDescriptor {
  std::string name;  // empty without LISTEN_FDNAMES
  UniqueFd fd;       // not inherited by what this process runs
};

/// What the service manager passed to this process (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES): its
/// sockets, and what was stored. Takes it from the environment. Call once, before threads start.
StatusOr<std::vector<PassedDescriptor>> TakePassedDescriptors();

}  // namespace starling::keeper
