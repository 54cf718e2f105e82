#pragma once

#include <span>

#include "base/bytes.h"
#include "base/status.h"
#include "estargz/gzip_layer_index.h"
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

/// Where the content of a file lies that was written before the index: a multiple of 4 KiB.
struct PlacedFile {
  uint64_t inner_offset = 0;  // of its first chunk
  uint64_t data_address = 0;
};

/// Lays the files of `tree` out on a data device, in the order of the blob, each from a multiple of
/// 4 KiB, and writes index and chunk table. Holes get an address but no chunk: nothing has to be
/// fetched for them. Deterministic.
/// Errors: kResourceExhausted when a chunk is larger than kMaxChunkBytes or ends beyond
/// kMaxMemberBytes of its member, or the device outgrows the
/// format.
StatusOr<LayerIndex> BuildIndex(const estargz::LayerTree& tree, uint64_t blob_size_bytes,
                                Codec codec);
/// The same for a layer of one member (Codec::kWhole) whose files have their places: `placed` holds
/// all of them and perhaps others, in the order of both offsets. kInvalidArgument when one is
/// missing.
StatusOr<LayerIndex> BuildIndexOfPlaced(const estargz::LayerTree& tree, uint64_t blob_size_bytes,
                                        std::span<const PlacedFile> placed);

/// The same for the plain gzip layer that `description` is of: its members are spans, and the seek
/// index is kept in the chunk table. Errors also as GzipLayerIndex::ReadToc and LayerTree::Build.
StatusOr<LayerIndex> BuildIndex(const estargz::GzipLayerIndex& description);

}  // namespace starling::layer
