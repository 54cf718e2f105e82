#include "mount/start_read_ahead.h"

#include <algorithm>

namespace starling::mount {

using store::LayerKey;

void StartReadAhead::OnStart(const oci::Digest& image, std::vector<LayerKey> layers) {
  const TimePoint now = deps_.clock.Now();
  MutexLock lock(mutex_);
  std::erase_if(starts_, [&](const Start& start) {
    return start.image == image || now - start.begun > kStart;
  });
  starts_.push_back({.image = image, .layers = std::move(layers), .begun = now});
}

bool StartReadAhead::OnDiskWait(const LayerKey& layer) {
  const TimePoint now = deps_.clock.Now();
  MutexLock lock(mutex_);
  const auto found = std::ranges::find_if(starts_, [&](const Start& one) {
    return now - one.begun <= kStart && std::ranges::find(one.layers, layer) != one.layers.end();
  });
  if (closed_ || found == starts_.end()) {
    return false;
  }
  deps_.disk.Post([this, start = std::move(*found)] { ReadAhead(start); });
  starts_.erase(found);
  return true;
}

void StartReadAhead::ReadAhead(const Start& start) {
  // For every name and every chunk that is looked for, and in single blocks.
  for (const LayerKey& layer : start.layers) {
    if (IsClosed()) {
      return;
    }
    deps_.read_index(layer);
  }
  const std::optional<layer::AccessProfile> profile = deps_.profile_of(start.image);
  if (!profile) {
    return;
  }
  uint64_t left_bytes = kMaxBytes;
  for (layer::PlannedAccess access : layer::InOrderOfNeed(*profile)) {
    if (left_bytes == 0 || IsClosed()) {
      return;
    }
    access.range.size_bytes = std::min(access.range.size_bytes, left_bytes);
    left_bytes -= access.range.size_bytes;
    deps_.read_data(profile->layers()[access.layer].key, access.range);
  }
}

bool StartReadAhead::IsClosed() {
  MutexLock lock(mutex_);
  return closed_;
}

void StartReadAhead::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

}  // namespace starling::mount
