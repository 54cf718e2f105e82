#include "base/poll.h"

#include <algorithm>
#include <cerrno>
#include <climits>

namespace starling {

StatusOr<bool> PollUntil(std::span<pollfd> entries,
                         std::optional<std::chrono::steady_clock::time_point> deadline) {
  for (;;) {
    int timeout = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(
          *deadline - std::chrono::steady_clock::now());
      timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
    }
    const int ready = ::poll(entries.data(), entries.size(), timeout);
    if (ready >= 0) {
      return ready > 0;
    }
    if (errno != EINTR) {
      return ErrnoError(errno, "poll");
    }
  }
}

}  // namespace starling
