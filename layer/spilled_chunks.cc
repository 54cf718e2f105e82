#include "layer/spilled_chunks.h"

#include <algorithm>
#include <utility>

namespace starling::layer {

void SpilledChunks::Add(Owner layer, SpilledChunk spilled) {
  MutexLock lock(mutex_);
  size_bytes_ += spilled.bytes->size();
  chunks_.push_back({.layer = layer, .spilled = std::move(spilled)});
  while (size_bytes_ > kMaxBytes) {
    size_bytes_ -= chunks_.front().spilled.bytes->size();
    chunks_.pop_front();
  }
}

std::optional<SpilledChunk> SpilledChunks::Find(Owner layer, uint32_t chunk) const {
  MutexLock lock(mutex_);
  const auto found = std::ranges::find_if(chunks_, [&](const Kept& kept) {
    return kept.layer == layer && kept.spilled.chunk == chunk;
  });
  return found == chunks_.end() ? std::nullopt : std::optional(found->spilled);
}

size_t SpilledChunks::Drop(Owner layer, const std::function<bool(uint32_t chunk)>& is_needless) {
  MutexLock lock(mutex_);
  size_t left = 0;
  std::erase_if(chunks_, [&](const Kept& kept) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (kept.layer != layer) {
      return false;
    }
    if (!is_needless(kept.spilled.chunk)) {
      ++left;
      return false;
    }
    size_bytes_ -= kept.spilled.bytes->size();
    return true;
  });
  return left;
}

uint64_t SpilledChunks::size_bytes() const {
  MutexLock lock(mutex_);
  return size_bytes_;
}

}  // namespace starling::layer
