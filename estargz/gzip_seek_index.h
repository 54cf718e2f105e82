/// Where reading a gzip layer may begin, so that a part of it can be had without what stands
/// before.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "estargz/gzip_stream.h"

namespace starling::estargz {

/// Deflate refers back no further. Source: RFC 1951.
inline constexpr size_t kGzipWindowBytes = 32 << 10;

/// A place in a gzip layer from which it can be inflated: the start of a member, or a deflate
/// block's header together with the window before it.
struct GzipPoint {
  enum class Kind : uint8_t { kMember = 0, kBlock = 1 };

  uint64_t blob_offset = 0;   // of the first whole byte
  uint64_t tar_offset = 0;    // of the first byte that inflates from here
  uint64_t window_begin = 0;  // of the stored window, among all windows
  uint32_t window_bytes = 0;  // as stored; 0 for a member
  /// A block begins with the highest `bit_count` (0 to 7) bits of the byte before; their value.
  uint8_t bit_count = 0;
  uint8_t bits = 0;
  Kind kind = Kind::kMember;

  friend bool operator==(const GzipPoint&, const GzipPoint&) = default;
};

/// From one point to the next.
struct GzipSpan {
  uint64_t blob_offset = 0;
  uint64_t blob_bytes = 0;
  uint64_t tar_offset = 0;
  uint64_t tar_bytes = 0;
};

/// The points of one layer, as stored: a header, a record for each point, the windows (zstd).
/// Spans share no byte of the blob: a point keeps the bits of the byte that it shares with the span
/// before. Threads: immutable after Open.
class GzipSeekIndex {
 public:
  static constexpr uint64_t kMaxPoints = 1 << 20;
  static constexpr uint64_t kMaxBytes = 1ULL << 46;  // of blob or tar
  /// A span is inflated in memory.
  static constexpr uint64_t kMaxSpanBytes = 64 << 20;

  /// Reads an index from anywhere; borrows `bytes`. kDataLoss names the rule that it breaks.
  static StatusOr<GzipSeekIndex> Open(ByteSpan bytes);

  /// In order; the first is at the blob's start, and there is one at least.
  const std::vector<GzipPoint>& points() const { return points_; }
  /// Where the last member ends.
  uint64_t blob_end() const { return blob_end_; }
  uint64_t tar_bytes() const { return tar_bytes_; }
  GzipSpan SpanAt(size_t point) const;
  /// The window before a block's point, inflated: kGzipWindowBytes, or all there was before it.
  /// kDataLoss when it is broken.
  StatusOr<Bytes> WindowAt(size_t point) const;
  /// The point whose first whole byte is at `blob_offset`, if there is one.
  std::optional<size_t> PointAt(uint64_t blob_offset) const;

 private:
  std::vector<GzipPoint> points_;
  uint64_t blob_end_ = 0;
  uint64_t tar_bytes_ = 0;
  ByteSpan windows_;
};

/// Collects points in order and writes them as GzipSeekIndex reads them.
class GzipSeekIndexWriter {
 public:
  void AddMember(uint64_t blob_offset, uint64_t tar_offset);
  /// `begin` without window; `window` is what was decoded last before it, kGzipWindowBytes at most.
  Status AddBlock(GzipPoint begin, ByteSpan window);
  const std::vector<GzipPoint>& points() const { return points_; }
  /// Call once, last. kUnimplemented when a span is larger than readers take: the layer has no
  /// blocks where one should begin.
  StatusOr<Bytes> Finish(uint64_t blob_end, uint64_t tar_bytes);

 private:
  std::vector<GzipPoint> points_;
  Bytes windows_;
};

/// Inflates parts of a gzip layer. Threads: one call at a time; make one for each thread.
class GzipSpanInflater {
 public:
  /// Fills `out` with the first bytes of the span at `point`, of which `compressed` has all bytes,
  /// and perhaps more. Nothing proves them: the caller must hold a digest.
  /// Errors: kInvalidArgument for more than the span has; kDataLoss when they cannot be had.
  Status Inflate(const GzipSeekIndex& index, size_t point, ByteSpan compressed,
                 std::span<std::byte> out);

 private:
  GzipStream stream_;
};

}  // namespace starling::estargz
