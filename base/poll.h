#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>

#include "base/status.h"

namespace starling {

/// poll(2) until one of `entries` is ready, whatever signals come; false when `deadline` came
/// first.
StatusOr<bool> PollUntil(std::span<pollfd> entries,
                         std::optional<std::chrono::steady_clock::time_point> deadline = {});

}  // namespace starling
