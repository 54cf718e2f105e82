#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/mutex.h"

namespace starling::layer {

/// A verified chunk that found no room on the disk.
struct SpilledChunk {
  uint32_t chunk = 0;
  std::shared_ptr<const Bytes> bytes;
};

/// The latest of them, of all layers, kept in memory while the disk is full, so that small reads of
/// a large chunk fetch it once. Threads: safe.
class SpilledChunks {
 public:
  static constexpr uint64_t kMaxBytes = 32 << 20;
  /// A layer, by its address, until it forgets what it has here.
  using Owner = const void*;

  /// Lets go of the oldest when that is too much.
  void Add(Owner layer, SpilledChunk spilled);
  /// None when it is not kept (any more).
  std::optional<SpilledChunk> Find(Owner layer, uint32_t chunk) const;
  /// Lets go of those that `is_needless`, which must not call back. How many of the layer are left.
  size_t Drop(Owner layer, const std::function<bool(uint32_t chunk)>& is_needless);
  uint64_t size_bytes() const;

 private:
  struct Kept {
    Owner layer = nullptr;
    SpilledChunk spilled;
  };

  mutable Mutex mutex_;                         // leaf
  std::deque<Kept> chunks_ GUARDED_BY(mutex_);  // oldest first
  uint64_t size_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::layer
