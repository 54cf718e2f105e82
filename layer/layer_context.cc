#include "layer/layer_context.h"

#include <utility>

#include "base/clock.h"

namespace starling::layer {

bool LayerContext::Post(Urgency urgency, std::function<void()> task) {
  MutexLock lock(mutex_);
  if (closed_) {
    return false;
  }
  // Under the lock, so that Close ends every use of the executor.
  if (urgency == Urgency::kAwaited) {
    cpu_.PostUrgent(std::move(task));
  } else {
    cpu_.Post(std::move(task));
  }
  return true;
}

std::chrono::steady_clock::time_point LayerContext::Now() const {
  return scheduler_ ? scheduler_->Now() : SystemClock().Now();
}

void LayerContext::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

void LayerContext::EndCounting() {
  MutexLock lock(mutex_);
  counts_ = false;
}

}  // namespace starling::layer
