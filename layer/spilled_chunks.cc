#include "layer/spilled_chunks.h"

#include <algorithm>
#include <utility>

namespace starling::layer {

void SpilledChunks::Add(SpilledChunk spilled) {
  size_bytes_ += spilled.bytes->size();
  chunks_.push_back(std::move(spilled));
  while (size_bytes_ > kMaxBytes) {
    size_bytes_ -= chunks_.front().bytes->size();
    chunks_.pop_front();
  }
}

const SpilledChunk* SpilledChunks::Find(uint32_t chunk) const {
  const auto found = std::ranges::find(chunks_, chunk, &SpilledChunk::chunk);
  return found == chunks_.end() ? nullptr : &*found;
}

}  // namespace starling::layer
