#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace starling::testing_support {

/// A clock that only tests move. Threads: safe.
class ManualClock : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::time_point(std::chrono::hours(1)) + passed_nanoseconds();
  }
  std::chrono::system_clock::time_point WallTime() const override {
    // 2026-01-01T00:00:00Z
    return std::chrono::system_clock::from_time_t(1767225600) + passed_nanoseconds();
  }
  void Advance(std::chrono::nanoseconds by) { passed_ += by.count(); }
  std::chrono::milliseconds passed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(passed_nanoseconds());
  }

 private:
  std::chrono::nanoseconds passed_nanoseconds() const {
    return std::chrono::nanoseconds(passed_.load());
  }

  std::atomic<int64_t> passed_ = 0;  // nanoseconds
};

}  // namespace starling::testing_support
