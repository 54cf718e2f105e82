#pragma once

#include <functional>
#include <optional>

#include "base/status.h"
#include "config/settings.h"
#include "snapshotter/unix_listener.h"

namespace starling {

/// Constructs everything from `settings`, serves until `wait_for_stop` returns, then takes down
/// everything, mounts included. `inherited` takes the place of the socket at the address.
/// Errors say what keeps the daemon from starting.
Status RunDaemon(const config::Settings& settings,
                 std::optional<snapshotter::UnixListener> inherited,
                 const std::function<void()>& wait_for_stop);

}  // namespace starling
