#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "layer/chunk_table.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Chunks that a layer lacks and that other layers of the store hold: images of one family have
/// most of their files in common, in layers of different digests. They are taken from there, not
/// from the network. Keeps those layers open. Threads: immutable once made.
class SharedChunks {
 public:
  /// Keeps the digests of the layer `key` beside it, so that later layers are compared with it.
  /// Blocks for the disk. Errors as LayerStore::WriteDerived.
  static Status Keep(const store::LayerKey& key, const ChunkTable& table,
                     store::LayerStore& layers);
  /// Compares `layer` with all others whose digests are kept: each list is read once. Blocks for
  /// the disk. What cannot be read is passed over.
  static SharedChunks Find(const store::StoredLayer& layer, const ChunkTable& table,
                           store::LayerStore& layers);

  bool empty() const { return size_bytes_ == 0; }
  /// Of all chunks that others hold.
  uint64_t size_bytes() const { return size_bytes_; }
  /// True when another layer held `chunk` at the time of Find.
  bool Has(uint32_t chunk) const {
    return chunk < places_.size() && places_[chunk].donor != kNoDonor;
  }
  /// Puts `chunk`, for which Has is true, into `layer`, which `table` is of: the one that Find was
  /// asked for. Errors as StoredLayer::PutShared.
  Status CopyTo(store::StoredLayer& layer, const ChunkTable& table, uint32_t chunk) const;

 private:
  static constexpr uint32_t kNoDonor = UINT32_MAX;
  struct Place {
    uint32_t donor = kNoDonor;  // number in donors_
    uint32_t chunk = 0;
  };
  struct Donor {
    std::shared_ptr<store::StoredLayer> layer;
    ChunkTable table;
  };

  std::vector<Donor> donors_;
  std::vector<Place> places_;  // by chunk; empty without donors
  uint64_t size_bytes_ = 0;
};

}  // namespace starling::layer
