#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "layer/chunk_table.h"
#include "layer/kept_digests.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Chunks that a layer lacks and that other layers of the store hold: images of one family have
/// most of their files in common, in layers of different digests. They are taken from there, not
/// from the network. Keeps those layers open. Threads: immutable once made.
class SharedChunks {
 public:
  /// Compares `layer` with all others of `layers` whose digests are kept. Blocks for the disk. What
  /// cannot be read is passed over.
  static SharedChunks Find(const store::StoredLayer& layer, const ChunkTable& table,
                           store::LayerStore& layers, KeptDigests& kept);

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
