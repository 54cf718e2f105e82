#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "base/mutex.h"

namespace starling {

/// Runs tasks later. Threads: safe.
class Timer {
 public:
  virtual ~Timer() = default;
  /// Runs `task` once `delay` has passed, on a thread that is not the caller's. `task` must not
  /// block.
  virtual void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) = 0;
};

/// One thread named "timer". The destructor drops what is not due yet, then joins.
class ThreadTimer : public Timer {
 public:
  ThreadTimer();
  ~ThreadTimer() override;
  void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) override;

 private:
  void Run();

  Mutex mutex_;  // leaf
  Condition changed_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> tasks_
      GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace starling
