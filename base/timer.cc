#include "base/timer.h"

#include <utility>

#include "base/executor.h"

namespace starling {

ThreadTimer::ThreadTimer() {
  thread_ = std::thread([this] {
    SetThreadName("timer");
    Run();
  });
}

ThreadTimer::~ThreadTimer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  thread_.join();
}

void ThreadTimer::RunAfter(std::chrono::milliseconds delay, std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.emplace(std::chrono::steady_clock::now() + delay, std::move(task));
  changed_.NotifyOne();
}

void ThreadTimer::Run() {
  for (;;) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (!stopping_ &&
             (tasks_.empty() || tasks_.begin()->first > std::chrono::steady_clock::now())) {
        if (tasks_.empty()) {
          changed_.Wait(mutex_);
        } else {
          changed_.WaitUntil(mutex_, tasks_.begin()->first);
        }
      }
      if (stopping_) {
        return;
      }
      task = std::move(tasks_.extract(tasks_.begin()).mapped());
    }
    task();
  }
}

}  // namespace starling
