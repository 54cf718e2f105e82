#pragma once

#include <cstdint>
#include <optional>

#include "base/io.h"
#include "base/status.h"
#include "oci/digest.h"

namespace starling::estargz {

/// How a layer is stored that has no index and is read from its start.
enum class PlainCompression { kNone, kGzip, kZstd };

struct PlainLayer {
  oci::Digest digest;       // of the blob
  uint64_t size_bytes = 0;  // of the blob
  oci::Digest diff_id;      // of the tar
};

/// Compresses a layer's tar in one stream, on the calling thread; the same everywhere. Levels are
/// zlib's or zstd's. Errors: kInvalidArgument for a level that there is none; those of the streams.
StatusOr<PlainLayer> WritePlainLayer(ByteSource& tar, ByteSink& blob, PlainCompression compression,
                                     std::optional<int> level);

}  // namespace starling::estargz
