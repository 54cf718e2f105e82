#include "base/executor.h"

#include <pthread.h>

namespace starling {
namespace {

constexpr size_t kThreadNameLength = 15;  // pthread_setname_np(3)

}  // namespace

void SetThreadName(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, kThreadNameLength).c_str());
}

ThreadPool::ThreadPool(const std::string& name, size_t threads) {
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, thread_name = name + "-" + std::to_string(i)] {
      SetThreadName(thread_name);
      Run();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

// The notifications are under the lock: once it is released the task may run, and with it end
// whoever owns this pool.
void ThreadPool::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.NotifyOne();
}

void ThreadPool::PostUrgent(std::function<void()> task) {
  MutexLock lock(mutex_);
  urgent_tasks_.push_back(std::move(task));
  changed_.NotifyOne();
}

void ThreadPool::Run() {
  for (;;) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (urgent_tasks_.empty() && tasks_.empty() && !stopping_) {
        changed_.Wait(mutex_);
      }
      std::deque<std::function<void()>>& next = urgent_tasks_.empty() ? tasks_ : urgent_tasks_;
      if (next.empty()) {
        return;
      }
      task = std::move(next.front());
      next.pop_front();
    }
    task();
  }
}

}  // namespace starling
