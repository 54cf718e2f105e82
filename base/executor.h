#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace starling {

/// Runs tasks on threads that are not the caller's. Threads: safe.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Enlists `task`; never blocks and never runs it on the calling thread.
  /// The queue is unbounded, because its tasks may post others: producers bound themselves.
  virtual void Post(std::function<void()> task) = 0;
  /// The same for work that somebody waits for: it goes before what was enlisted by Post.
  virtual void PostUrgent(std::function<void()> task) = 0;
};

/// A fixed number of threads named `name`-N. The destructor runs what was posted, then joins.
class ThreadPool : public Executor {
 public:
  ThreadPool(const std::string& name, size_t threads);
  ~ThreadPool() override;
  void Post(std::function<void()> task) override;
  void PostUrgent(std::function<void()> task) override;

 private:
  void Run();

  Mutex mutex_;  // leaf
  Condition changed_;
  std::deque<std::function<void()>> urgent_tasks_ GUARDED_BY(mutex_);
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

/// Names the calling thread (15 characters at most are kept) for ps, gdb and perf.
void SetThreadName(const std::string& name);

}  // namespace starling
