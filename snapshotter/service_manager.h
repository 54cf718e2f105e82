#pragma once

#include <string_view>

#include "base/status.h"

namespace starling::snapshotter {

/// Tells systemd, or whoever set NOTIFY_SOCKET, about our state: "READY=1", "STOPPING=1". OK when
/// nobody wants to know. Source: sd_notify(3).
Status NotifyServiceManager(std::string_view state);

}  // namespace starling::snapshotter
