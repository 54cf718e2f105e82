#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace starling::testing_support {

/// A clock that only tests move. Threads: safe.
class ManualClock : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::time_point(std::chrono::hours(1)) + passed();
  }
  std::chrono::system_clock::time_point WallTime() const override {
    // 2026-01-01T00:00:00Z
    return std::chrono::system_clock::from_time_t(1767225600) + passed();
  }
  void Advance(std::chrono::milliseconds by) { passed_milliseconds_ += by.count(); }
  std::chrono::milliseconds passed() const {
    return std::chrono::milliseconds(passed_milliseconds_.load());
  }

 private:
  std::atomic<int64_t> passed_milliseconds_ = 0;
};

}  // namespace starling::testing_support
