#pragma once

#include <vector>

#include "base/io.h"
#include "estargz/gzip_seek_index.h"
#include "estargz/gzip_stream.h"

namespace starling::estargz {

/// Inflates a gzip layer, of any number of members and padding behind them, and notes on the way
/// where it can be read from the next time. What it notes depends on the layer's bytes alone.
/// Errors: kDataLoss for a broken stream. Threads: one at a time.
class GzipIndexer : public ByteSource {
 public:
  /// Of the tar between two points: what a read of one byte costs at most, while each point costs a
  /// window of 32 KiB before its compression. A member that begins in the second half is taken
  /// instead, which costs none.
  static constexpr uint64_t kDefaultSpacingBytes = 4 << 20;
  /// After so many points the spacing doubles, and so on up to half of the largest span: the
  /// windows of a tar of 60 GB take 128 MiB at most, not 480.
  static constexpr size_t kPointsOfOneSpacing = 1024;

  /// Borrows `layer`.
  explicit GzipIndexer(ByteSource& layer, uint64_t spacing_bytes = kDefaultSpacingBytes);

  StatusOr<size_t> Read(std::span<std::byte> out) override;

  /// Those that were met so far: all that lie at or before what Read has given.
  const std::vector<GzipPoint>& points() const { return writer_.points(); }
  /// Of these points. A byte that Read has given has one.
  const GzipPoint& PointAtOrBefore(uint64_t tar_offset) const;
  /// From `tar_offset` to the next of these points behind it; UINT64_MAX when there is none.
  uint64_t BytesToPoint(uint64_t tar_offset) const;
  /// Of the layer, padding included, as far as it was read.
  uint64_t blob_bytes() const { return consumed_; }
  /// The index, once Read has told the end. Call once, last. Errors: kDataLoss for an empty layer;
  /// kUnimplemented for one that has too few places to begin at.
  StatusOr<Bytes> Finish();

 private:
  Status Fill();
  StatusOr<ByteSpan> Input();
  Status NoteBlock();
  uint64_t SinceLastPoint() const;
  uint64_t Spacing() const;

  ByteSource& layer_;
  const uint64_t spacing_bytes_;
  GzipStream stream_;
  GzipSeekIndexWriter writer_;

  Bytes in_;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  uint64_t consumed_ = 0;  // of the layer
  uint64_t blob_end_ = 0;  // of the last whole member

  Bytes out_;             // with the window before what was not given yet
  size_t out_begin_ = 0;  // not given yet
  size_t out_end_ = 0;
  uint64_t produced_ = 0;  // of the tar
  bool ended_ = false;
};

}  // namespace starling::estargz
