#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "base/status.h"
#include "layer/chunk_digests.h"
#include "store/layer_store.h"

namespace starling::layer {

/// The digests of the layers' chunks, each list in a file beside its layer. Those that were used
/// last are in memory, too: every new layer of an image is compared with all others.
/// Threads: safe. Calls block for the disk.
class KeptDigests {
 public:
  /// Of the entries in memory; more is read from the disk each time.
  static constexpr uint64_t kMaxBytes = 8 << 20;

  /// Borrows `layers`.
  explicit KeptDigests(store::LayerStore& layers) : layers_(layers) {}

  /// Errors: as LayerStore::WriteDerived.
  Status Add(const store::LayerKey& key, ChunkDigests digests);
  /// kNotFound when none are kept; kDataLoss for a damaged file.
  StatusOr<std::shared_ptr<const ChunkDigests>> Find(const store::LayerKey& key);

 private:
  struct InMemory {
    std::shared_ptr<const ChunkDigests> digests;
    uint64_t used = 0;  // the later, the more
  };
  void Remember(const store::LayerKey& key, std::shared_ptr<const ChunkDigests> digests);

  store::LayerStore& layers_;
  Mutex mutex_;  // leaf
  std::map<store::LayerKey, InMemory> in_memory_ GUARDED_BY(mutex_);
  uint64_t bytes_in_memory_ GUARDED_BY(mutex_) = 0;
  uint64_t uses_ GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::layer
