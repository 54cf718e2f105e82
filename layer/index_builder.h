#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "estargz/layer_tree.h"
#include "layer/chunk_table.h"
#include "store/layer_store.h"

namespace starling::layer {

/// What a layer needs on disk before it can be shown.
struct LayerIndex {
  Bytes image;        // EROFS
  Bytes chunk_table;  // see ChunkTable
  store::LayerInfo info;
};

/// Lays the files of `tree` out on a data device, in the order of the blob, each from a multiple of
/// 4 KiB, and writes index and chunk table. Holes get an address but no chunk: nothing has to be
/// fetched for them. Deterministic.
/// Errors: kResourceExhausted when a chunk is larger than kMaxChunkBytes or the device outgrows the
/// format.
StatusOr<LayerIndex> BuildIndex(const estargz::LayerTree& tree, uint64_t blob_size_bytes,
                                Codec codec);

}  // namespace starling::layer
