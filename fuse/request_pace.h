#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace starling::fuse {

/// How soon requests follow each other. A program that looks at one small file after the other asks
/// again within microseconds; a thread that sleeps meanwhile takes longer to wake than its answer
/// takes. So one stays awake for kSoon, if one of the latest requests came as soon as that after an
/// answer: after kPatience waits in vain none does until requests follow quickly again. When
/// kCalm requests came while it was awake, and none of them had to wait for it, it serves alone:
/// the kernel would wake another thread for each request, in vain. Source: docs/decisions/0054.
/// Threads: safe.
class RequestPace {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// Longer than it takes to wake a thread and for a program to ask again.
  static constexpr std::chrono::microseconds kSoon{80};
  static constexpr int kPatience = 4;
  static constexpr int kCalm = 64;
  /// An answer that takes longer than this is waited for by nobody else.
  static constexpr std::chrono::microseconds kStall{500};

  void OnRequest(TimePoint now) {
    const auto since_answer = TicksOf(now) - answered_.load(kRelaxed);
    const bool is_soon = since_answer < std::chrono::steady_clock::duration(kSoon).count();
    const int patience = patience_.load(kRelaxed);
    patience_.store(is_soon ? kPatience : std::max(patience - 1, 0), kRelaxed);
  }
  void OnAnswered(TimePoint now) { answered_.store(TicksOf(now), kRelaxed); }

  /// True for one thread at a time, which calls EndWatch when it has waited: whether to stay awake
  /// for the next request.
  bool BeginWatch() { return patience_.load(kRelaxed) > 0 && !is_watched_.exchange(true); }
  /// By the thread that watches: a request has come, after some waiting.
  void OnCalm(TimePoint now) {
    const int calm = std::min(calm_.load(kRelaxed) + 1, kCalm);
    calm_.store(calm, kRelaxed);
    alone_until_.store(calm < kCalm ? 0 : TicksOf(now + kStall), kRelaxed);
  }
  /// By the thread that watches: there were more requests while it answered one.
  void OnBacklog() { calm_.store(0, kRelaxed); }
  void EndWatch() {
    alone_until_.store(0, kRelaxed);
    is_watched_.store(false);
  }

  /// True while the thread that watches needs no other to wait for requests. One has to ask again
  /// and again: the thread may be held up.
  bool IsServedAlone(TimePoint now) const { return TicksOf(now) < alone_until_.load(kRelaxed); }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;  // each stands for itself

  static int64_t TicksOf(TimePoint time) { return time.time_since_epoch().count(); }

  std::atomic<int64_t> answered_ = 0;  // ticks of steady_clock
  std::atomic<int64_t> alone_until_ = 0;
  std::atomic<int> patience_ = 0;
  std::atomic<int> calm_ = 0;
  std::atomic<bool> is_watched_ = false;
};

}  // namespace starling::fuse
