#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace starling::fuse {

/// How soon requests follow each other. A program that looks at one small file after the other asks
/// again within microseconds; a thread that sleeps meanwhile takes longer to wake than its answer
/// takes. So one stays awake for kSoon, if one of the latest requests came as soon as that after an
/// answer: after kPatience waits in vain none does until requests follow quickly again.
/// Threads: safe.
class RequestPace {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// Longer than it takes to wake a thread and for a program to ask again; docs/decisions/0054.
  static constexpr std::chrono::microseconds kSoon{80};
  static constexpr int kPatience = 4;

  void OnRequest(TimePoint now) {
    const auto since_answer = now.time_since_epoch().count() - answered_.load(kRelaxed);
    const bool is_soon = since_answer < std::chrono::steady_clock::duration(kSoon).count();
    const int patience = patience_.load(kRelaxed);
    patience_.store(is_soon ? kPatience : std::max(patience - 1, 0), kRelaxed);
  }
  void OnAnswered(TimePoint now) { answered_.store(now.time_since_epoch().count(), kRelaxed); }

  /// True for one thread at a time, which calls EndWatch when it has waited: whether to stay awake
  /// for the next request.
  bool BeginWatch() { return patience_.load(kRelaxed) > 0 && !is_watched_.exchange(true); }
  void EndWatch() { is_watched_.store(false); }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;  // each stands for itself

  std::atomic<int64_t> answered_ = 0;  // ticks of steady_clock
  std::atomic<int> patience_ = 0;
  std::atomic<bool> is_watched_ = false;
};

}  // namespace starling::fuse
