/// The chunks of a layer: where each lies on the data device and where its bytes come from. What of
/// a file no chunk covers is a hole: its zeros are there from the start.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "estargz/gzip_seek_index.h"
#include "oci/blob_reader.h"
#include "oci/digest.h"

namespace starling::layer {

/// A part of the data device, in bytes.
struct DataRange {
  uint64_t data_address = 0;
  uint64_t size_bytes = 0;

  uint64_t end() const { return data_address + size_bytes; }
  friend bool operator==(const DataRange&, const DataRange&) = default;
};

/// A flag of a chunk: no program is likely to read its file. A hint only, so it has no version:
/// what was written before there was such a flag has none, and whoever does not know it loses
/// nothing.
inline constexpr uint32_t kUnlikely = 1;

/// One chunk as stored in the table, little-endian. Its number is its place in the table.
struct ChunkRecord {
  uint64_t data_address = 0;
  uint64_t size_bytes = 0;    // at least 1, at most kMaxChunkBytes
  uint64_t inner_offset = 0;  // in the member's decompressed bytes
  uint32_t member = 0;        // number in the table of members
  uint32_t flags = 0;         // kUnlikely; others mean nothing
  oci::Digest::Value digest{};

  DataRange range() const { return {.data_address = data_address, .size_bytes = size_bytes}; }
  friend bool operator==(const ChunkRecord&, const ChunkRecord&) = default;
};
static_assert(sizeof(ChunkRecord) == 64);

/// How the members of a layer are compressed. The numbers are stored.
enum class Codec : uint32_t {
  kGzip = 0,
  kZstd = 1,
  /// However the blob is: it is one member that is read from front to end, never in pieces. Its
  /// inner offsets are those of the tar.
  kWhole = 2,
  kGzipSpans = 3,  // a plain gzip layer, read from the points of its seek index
};

/// One gzip member, or in its place zstd frames or a span of a plain gzip layer, as stored in the
/// table, little-endian.
struct MemberRecord {
  uint64_t blob_offset = 0;
  uint64_t blob_size = 0;        // up to the next member
  uint32_t first_reference = 0;  // its chunks, in the list of references
  uint32_t reference_count = 0;

  uint64_t end() const { return blob_offset + blob_size; }
  oci::BlobRange range() const { return {.blob_offset = blob_offset, .size_bytes = blob_size}; }
  friend bool operator==(const MemberRecord&, const MemberRecord&) = default;
};
static_assert(sizeof(MemberRecord) == 24);

/// A chunk is decoded in memory before its digest proves it, so its size is bounded; builders cut
/// at 4 MiB.
inline constexpr uint64_t kMaxChunkBytes = 256ULL << 20;

/// Numbers of chunks that follow each other on the data device.
struct ChunkSpan {
  uint32_t first = 0;
  uint32_t last = 0;  // one past

  bool empty() const { return first == last; }
};

/// What WriteChunkTable needs. `ChunkRecord::member` counts into `members`, whose references
/// are computed.
struct ChunkTableSpec {
  std::vector<ChunkRecord> chunks;    // sorted by data address, disjoint
  std::vector<MemberRecord> members;  // sorted by blob offset, disjoint
  uint64_t data_size_bytes = 0;
  uint64_t blob_size_bytes = 0;
  Codec codec = Codec::kGzip;
  /// For kGzipSpans: as stored. Every member begins at one of its points.
  ByteSpan seek_index;
  std::optional<uint64_t> prefetch_end;  // [0, offset) of the blob is worth prefetching
  bool no_prefetch = false;
  bool has_xattrs = false;
};

/// The table's bytes. kInvalidArgument when a rule above is broken.
StatusOr<Bytes> WriteChunkTable(ChunkTableSpec spec);

/// Reads a table where it lies. Borrows the bytes. Threads: immutable after Open.
class ChunkTable {
 public:
  /// Checks every record once, so that the accessors need not. kDataLoss names what is wrong.
  static StatusOr<ChunkTable> Open(ByteSpan table);

  std::span<const ChunkRecord> chunks() const { return chunks_; }
  std::span<const MemberRecord> members() const { return members_; }
  /// The chunks of a member, by inner offset.
  std::span<const uint32_t> ChunksOf(uint32_t member) const;
  /// True when all of the member's chunks are.
  bool IsUnlikely(uint32_t member) const;
  /// The chunks that share a byte with `range`.
  ChunkSpan Find(DataRange range) const;

  uint64_t data_size_bytes() const { return data_size_bytes_; }
  uint64_t blob_size_bytes() const { return blob_size_bytes_; }
  Codec codec() const { return codec_; }
  /// For kGzipSpans, else null.
  const estargz::GzipSeekIndex* seek_index() const { return seek_index_ ? &*seek_index_ : nullptr; }
  const std::optional<uint64_t>& prefetch_end() const { return prefetch_end_; }
  bool no_prefetch() const { return no_prefetch_; }
  bool has_xattrs() const { return has_xattrs_; }

 private:
  Status Check() const;
  Status CheckSpans() const;

  std::span<const ChunkRecord> chunks_;
  std::span<const MemberRecord> members_;
  std::span<const uint32_t> references_;
  uint64_t data_size_bytes_ = 0;
  uint64_t blob_size_bytes_ = 0;
  Codec codec_ = Codec::kGzip;
  std::optional<estargz::GzipSeekIndex> seek_index_;
  std::optional<uint64_t> prefetch_end_;
  bool no_prefetch_ = false;
  bool has_xattrs_ = false;
};

}  // namespace starling::layer
