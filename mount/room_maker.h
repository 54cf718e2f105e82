#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/timer.h"

namespace starling::mount {

/// Evicts from the store when it, or the disk, has little room. Threads: safe.
class RoomMaker {
 public:
  /// So long nothing is tried again after nothing could be evicted: it is not worth to look at
  /// every chunk that comes.
  static constexpr std::chrono::seconds kPause{10};

  struct Dependencies {
    /// What the store takes of the disk.
    std::function<uint64_t()> held_bytes;
    /// What the disk has left that the store may take.
    std::function<uint64_t()> spare_bytes;
    /// Evicts so much, or more, or less when there is no more; how much that was. Blocks.
    std::function<uint64_t(uint64_t wanted_bytes)> evict;
    uint64_t max_store_bytes = 0;  // 0: what the disk has
    Executor& executor;
    Timer& timer;
  };
  /// Borrows the executor and the timer, whose tasks use this: it must outlive them.
  explicit RoomMaker(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  /// Evicts nothing until it is allowed again, or does.
  void Allow(bool is_allowed) { is_allowed_ = is_allowed; }
  /// The store or the disk has little room left. For who puts chunks: does not block.
  void MakeSoon();
  /// Evicts what is held beyond what leaves some room, and `size_bytes` in any case, for one caller
  /// at a time. False when there is no more room by that, nor by what went while it waited.
  bool Make(uint64_t size_bytes);

 private:
  bool Evict(uint64_t size_bytes);
  void MakeAndGoOn();

  const Dependencies deps_;
  std::atomic<bool> is_allowed_ = true;
  /// A MakeAndGoOn is posted, or it is too early to try again.
  std::atomic<bool> will_make_ = false;
  Mutex mutex_;  // leaf
  Condition made_;
  bool is_making_ GUARDED_BY(mutex_) = false;
  uint64_t times_made_ GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::mount
