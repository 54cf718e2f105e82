/// What makes a plain gzip layer readable in parts: its table of contents and its seek index, in
/// one blob of one digest.
#pragma once

#include <string>

#include "base/io.h"
#include "estargz/gzip_indexer.h"
#include "estargz/gzip_seek_index.h"
#include "estargz/toc.h"
#include "oci/digest.h"

namespace starling::estargz {

/// As stored: a header with the layer's digest and size, the seek index, the TOC as JSON in a zstd
/// frame. In the TOC the "offset" of a chunk is that of the point where its span begins, and
/// "innerOffset" counts from there; no chunk crosses a point. It is believed as far as whoever gave
/// its digest is: it says which files the layer has, and its chunks' digests are what is verified.
/// Threads: immutable after Parse.
class GzipLayerIndex {
 public:
  /// What an index is made of, in memory.
  struct Parts {
    oci::Digest layer;
    uint64_t blob_size_bytes = 0;
    Bytes seek_index;      // of GzipIndexer
    std::string toc_json;  // with offsets as above
  };

  /// Of an index as stored.
  static constexpr uint64_t kMaxBytes = 256 << 20;

  /// Reads an index from anywhere. Errors: kDataLoss names the rule that it breaks;
  /// kResourceExhausted beyond a limit. The TOC is not looked at yet.
  static StatusOr<GzipLayerIndex> Parse(Bytes bytes, const TocLimits& limits = {});
  /// Compresses the TOC. Errors: kResourceExhausted beyond a limit.
  static StatusOr<GzipLayerIndex> Make(const Parts& parts);
  GzipLayerIndex(GzipLayerIndex&&) = default;
  GzipLayerIndex& operator=(GzipLayerIndex&&) = default;
  GzipLayerIndex(const GzipLayerIndex&) = delete;
  GzipLayerIndex& operator=(const GzipLayerIndex&) = delete;

  const oci::Digest& layer() const { return layer_; }
  uint64_t blob_size_bytes() const { return blob_size_bytes_; }
  const GzipSeekIndex& seek_index() const { return seek_index_; }
  ByteSpan seek_index_bytes() const { return seek_index_bytes_; }
  /// Errors as ExtractZstdToc.
  StatusOr<TocJson> ReadToc(const TocLimits& limits = {}) const;

  /// As stored, and the digest of that: which is what the layer's TOC is known by.
  ByteSpan bytes() const { return bytes_; }
  const oci::Digest& digest() const { return digest_; }

 private:
  GzipLayerIndex() = default;

  Bytes bytes_;
  oci::Digest digest_;
  oci::Digest layer_;
  uint64_t blob_size_bytes_ = 0;
  uint64_t toc_json_bytes_ = 0;
  ByteSpan seek_index_bytes_;
  ByteSpan toc_;
  GzipSeekIndex seek_index_;
};

struct GzipIndexOptions {
  uint64_t spacing_bytes = GzipIndexer::kDefaultSpacingBytes;
  /// A file's chunks end at multiples of this, and at points.
  uint64_t chunk_size_bytes = 4 << 20;
};

/// Reads `blob`, a gzip layer, to its end and describes it; `layer` is its digest, for which the
/// caller vouches. One pass, on the calling thread, with a few MiB of memory beside the result.
/// Errors: kDataLoss for a broken stream or tar; kUnimplemented for a tar that cannot be unpacked
/// or a stream without places to begin at; kResourceExhausted beyond TocLimits; those of `blob`.
StatusOr<GzipLayerIndex> IndexGzipLayer(ByteSource& blob, const oci::Digest& layer,
                                        const GzipIndexOptions& options = {});

}  // namespace starling::estargz
