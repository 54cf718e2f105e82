#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "base/bytes.h"

namespace starling::layer {

/// A verified chunk that found no room on the disk.
struct SpilledChunk {
  uint32_t chunk = 0;
  std::shared_ptr<const Bytes> bytes;
};

/// The latest of them, kept in memory while the disk is full, so that small reads of a large chunk
/// fetch it once. Threads: one at a time.
class SpilledChunks {
 public:
  static constexpr uint64_t kMaxBytes = 16 << 20;

  /// Lets go of the oldest when that is too much.
  void Add(SpilledChunk spilled);
  /// Null when it is not kept (any more). Valid until the next Add.
  const SpilledChunk* Find(uint32_t chunk) const;
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  std::deque<SpilledChunk> chunks_;  // oldest first
  uint64_t size_bytes_ = 0;
};

}  // namespace starling::layer
