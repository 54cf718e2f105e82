#include "credentials/expiring_cache.h"

#include <algorithm>

namespace starling::credentials {

std::chrono::steady_clock::time_point RenewalOf(const Clock& clock,
                                                std::chrono::system_clock::time_point expires_at) {
  using std::chrono::milliseconds;
  // Bounded, because others name the time: the clocks' sums must not overflow.
  constexpr milliseconds kLongest = std::chrono::hours(24 * 366);
  constexpr milliseconds kLongestMargin = std::chrono::minutes(15);
  const auto left =
      std::clamp(std::chrono::duration_cast<milliseconds>(expires_at - clock.WallTime()),
                 milliseconds(0), kLongest);
  return clock.Now() + left - std::min(left / 10, kLongestMargin);
}

}  // namespace starling::credentials
