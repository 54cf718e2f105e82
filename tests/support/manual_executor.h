#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <utility>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "tests/support/manual_clock.h"

namespace starling::testing_support {

/// Runs tasks when a test says so, on the test's thread. Threads: one.
class ManualExecutor : public Executor {
 public:
  void Post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  void PostUrgent(std::function<void()> task) override { tasks_.push_front(std::move(task)); }
  /// Until nothing is left, also what the tasks post.
  void RunAll() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

 private:
  std::deque<std::function<void()>> tasks_;
};

/// Runs tasks when a test moves the clock, on the test's thread. Threads: safe.
class ManualTimer : public Timer {
 public:
  explicit ManualTimer(ManualClock& clock) : clock_(clock) {}
  void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) override {
    RunAt(clock_.Now() + delay, std::move(task));
  }
  void RunAt(std::chrono::steady_clock::time_point when, std::function<void()> task) {
    MutexLock lock(mutex_);
    tasks_.emplace(when, std::move(task));
  }
  /// Moves the clock to the next task and runs it; false when there is none.
  bool RunNext() {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      if (tasks_.empty()) {
        return false;
      }
      auto next = tasks_.extract(tasks_.begin());
      clock_.Advance(std::max(next.key() - clock_.Now(), std::chrono::nanoseconds(0)));
      task = std::move(next.mapped());
    }
    task();
    return true;
  }
  /// Moves the clock and runs what is due then.
  void Advance(std::chrono::milliseconds by) {
    clock_.Advance(by);
    for (std::function<void()> task = TakeDue(); task; task = TakeDue()) {
      task();
    }
  }
  size_t waiting() const {
    MutexLock lock(mutex_);
    return tasks_.size();
  }

 private:
  std::function<void()> TakeDue() {
    MutexLock lock(mutex_);
    if (tasks_.empty() || tasks_.begin()->first > clock_.Now()) {
      return nullptr;
    }
    return std::move(tasks_.extract(tasks_.begin()).mapped());
  }

  ManualClock& clock_;
  mutable Mutex mutex_;  // leaf
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> tasks_
      GUARDED_BY(mutex_);
};

}  // namespace starling::testing_support
