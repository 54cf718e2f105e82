#pragma once

#include <chrono>

namespace starling {

/// The time, so that tests can set it. Threads: safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Never goes back; for durations and deadlines.
  virtual std::chrono::steady_clock::time_point Now() const = 0;
  /// Civil time, UTC; for timestamps and for expiry dates that others set.
  virtual std::chrono::system_clock::time_point WallTime() const = 0;
};

/// The machine's clock. Lives for ever.
Clock& SystemClock();

}  // namespace starling
