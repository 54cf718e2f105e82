#include "layer/container_waits.h"

#include <algorithm>
#include <utility>

namespace starling::layer {

std::string ContainerWaits::Asker::container() const {
  MutexLock lock(mutex_);
  return container_;
}

ContainerWaits::ContainerWaits(Executor& executor, ContainerOf container_of)
    : container_of_(std::move(container_of)), executor_(&executor) {}

bool ContainerWaits::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (executor_ == nullptr || questions_ >= kMaxQuestions) {
    return false;
  }
  ++questions_;
  executor_->Post([self = shared_from_this(), run = std::move(task)] {
    run();
    MutexLock task_lock(self->mutex_);
    --self->questions_;
  });
  return true;
}

std::shared_ptr<ContainerWaits::Asker> ContainerWaits::OnWaits(pid_t thread) {
  if (thread == 0) {
    return nullptr;
  }
  const auto asker = std::make_shared<Asker>();
  const bool asks = Post([self = shared_from_this(), asker, thread] {
    std::string container = self->container_of_(thread);
    MutexLock lock(asker->mutex_);
    asker->container_ = std::move(container);
  });
  return asks ? asker : nullptr;
}

void ContainerWaits::OnWaited(const std::shared_ptr<Asker>& asker, const SlowRead& read) {
  if (asker) {
    // After the question, which was posted before.
    Post([self = shared_from_this(), asker, failed = read.failed, times = read.times] {
      if (const std::string container = asker->container(); !container.empty()) {
        self->Count(container, failed, times);
      }
    });
  }
}

void ContainerWaits::Count(const std::string& container, bool failed, const ReadTimes& times) {
  MutexLock lock(mutex_);
  const auto known = std::ranges::find(stalls_, container, &ContainerStalls::container);
  if (known != stalls_.end()) {
    stalls_.splice(stalls_.begin(), stalls_, known);
  } else {
    stalls_.push_front({.container = container});
    if (stalls_.size() > kMaxContainers) {
      stalls_.pop_back();
    }
  }
  ContainerStalls& stalls = stalls_.front();
  ++stalls.reads;
  stalls.failed += failed ? 1 : 0;
  stalls.times += times;
}

std::vector<ContainerStalls> ContainerWaits::List() const {
  std::vector<ContainerStalls> all;
  {
    MutexLock lock(mutex_);
    all.assign(stalls_.begin(), stalls_.end());
  }
  std::ranges::stable_sort(all, std::greater(),
                           [](const ContainerStalls& one) { return one.times.total(); });
  return all;
}

void ContainerWaits::Close() {
  MutexLock lock(mutex_);
  executor_ = nullptr;
}

}  // namespace starling::layer
