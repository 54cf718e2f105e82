#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/executor.h"
#include "base/mutex.h"
#include "layer/counters.h"
#include "layer/fetch_scheduler.h"

namespace starling::layer {

/// What a layer works with and its owner has: the owner may let go of the executor once the layer
/// is closed, and of the counters once all that waited has its answer. Threads: safe.
class LayerContext {
 public:
  enum class Urgency { kAwaited, kWelcome };

  /// `scheduler` may be null.
  LayerContext(Executor& cpu, FetchCounters& counters, std::shared_ptr<FetchScheduler> scheduler)
      : cpu_(cpu), counters_(counters), scheduler_(std::move(scheduler)) {}

  /// Runs `task` on a thread of the executor. False once closed: nothing is posted.
  bool Post(Urgency urgency, std::function<void()> task);
  /// Calls `counting` with the counters while they are there, with a lock held. False once closed:
  /// nobody waits any more.
  template <typename Counting>
  bool Count(Counting counting) {
    MutexLock lock(mutex_);
    if (counts_) {
      counting(counters_);
    }
    return !closed_;
  }
  /// Without a lock, for callers whose owner knows of them.
  FetchCounters& counters() { return counters_; }
  FetchScheduler* scheduler() const { return scheduler_.get(); }
  /// The scheduler's time, if there is one.
  std::chrono::steady_clock::time_point Now() const;

  /// When it returns, nothing uses the executor any more.
  void Close();
  /// The same for the counters.
  void EndCounting();

 private:
  Executor& cpu_;
  FetchCounters& counters_;
  const std::shared_ptr<FetchScheduler> scheduler_;

  Mutex mutex_;  // above the executor's
  bool closed_ GUARDED_BY(mutex_) = false;
  bool counts_ GUARDED_BY(mutex_) = true;
};

}  // namespace starling::layer
