#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/mutex.h"

namespace starling::layer {

/// The latest `kKept` of what was added, in memory that does not grow. Threads: safe.
template <typename T, size_t kKept>
class Latest {
 public:
  struct All {
    std::vector<T> kept;     // oldest first
    uint64_t forgotten = 0;  // earlier ones
  };

  Latest() { ring_.reserve(kKept); }
  void Add(const T& one) {
    MutexLock lock(mutex_);
    if (ring_.size() < kKept) {
      ring_.push_back(one);
    } else {
      ring_[added_ % kKept] = one;
    }
    ++added_;
  }
  All List() const {
    MutexLock lock(mutex_);
    All all{.kept = ring_, .forgotten = added_ - ring_.size()};
    std::ranges::rotate(all.kept, all.kept.begin() + static_cast<ptrdiff_t>(all.forgotten % kKept));
    return all;
  }

 private:
  mutable Mutex mutex_;  // leaf
  std::vector<T> ring_ GUARDED_BY(mutex_);
  uint64_t added_ GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::layer
