/// The digest of a layer's tar, out of the parts of it that a node holds.
#pragma once

#include <functional>

#include "base/status.h"
#include "layer/chunk_table.h"
#include "layer/gap_log.h"
#include "oci/blob_reader.h"
#include "oci/digest.h"
#include "store/layer_store.h"

namespace starling::layer {

struct DiffIdParts {
  const store::StoredLayer& stored;  // complete
  const ChunkTable& table;
  const Gaps& gaps;
  /// Brings a part of the blob; may block. Asked for what lies between members (the first headers,
  /// landmarks, the table of contents), and for members without kept gaps.
  std::function<StatusOr<Bytes>(oci::BlobRange)> fetch;
  std::function<bool()> is_stopped;
};

/// How much of the blob ComputeDiffId may fetch again.
uint64_t MaxDiffIdFetchBytes(uint64_t blob_size_bytes);
/// True for layers whose diffID can be computed: those of a lazy format.
bool HasDiffId(const ChunkTable& table);

/// The SHA-256 of all that the blob decompresses to, which an image's configuration calls the
/// layer's diffID. Reads the layer once from front to end; blocks for the disk and for `fetch`, in
/// pieces of 4 MiB.
/// Errors: kFailedPrecondition when more than MaxDiffIdFetchBytes is missing, without HasDiffId, or
/// when chunks were evicted meanwhile;
/// kDataLoss when what was fetched cannot be decompressed; kCancelled when stopped; else those of
/// `fetch` and of the disk.
StatusOr<oci::Digest> ComputeDiffId(const DiffIdParts& parts);

}  // namespace starling::layer
