#include "layer/chunk_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace starling::layer {
namespace {

static_assert(std::endian::native == std::endian::little, "the table is read where it lies");

constexpr std::array<char, 8> kMagic = {'S', 'T', 'A', 'R', 'C', 'H', 'N', 'K'};
// Version 1 was the same without a codec, 0 in its place: gzip. A reader of version 1 would take
// zstd for gzip, hence the number. Version 3 is the same with a seek index at the end, and is
// written for layers that need one alone.
constexpr uint32_t kVersion = 2;
constexpr uint32_t kVersionWithoutCodec = 1;
constexpr uint32_t kVersionWithSeekIndex = 3;
constexpr uint32_t kHasXattrs = 1;
constexpr uint32_t kNoPrefetch = 2;
constexpr uint32_t kHasPrefetchEnd = 4;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t flags = 0;
  uint64_t chunk_count = 0;
  uint64_t member_count = 0;
  uint64_t data_size_bytes = 0;
  uint64_t blob_size_bytes = 0;
  uint64_t prefetch_end = 0;
  Codec codec = Codec::kGzip;
  uint32_t reserved = 0;
};
static_assert(sizeof(Header) == 64);

Status Broken(std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("chunk table: {}", what));
}

bool MayHave(uint32_t version, Codec codec) {
  switch (codec) {
    case Codec::kGzip:
      return version == kVersion || version == kVersionWithoutCodec;
    case Codec::kZstd:
    case Codec::kWhole:
      return version == kVersion;
    case Codec::kGzipSpans:
      return version == kVersionWithSeekIndex;
  }
  return false;
}

/// Groups the chunks by member, ordered by inner offset, and tells each member its group.
std::vector<uint32_t> GroupByMember(ChunkTableSpec& spec) {
  std::vector<uint32_t> references(spec.chunks.size());
  for (uint32_t i = 0; i < references.size(); ++i) {
    references[i] = i;
  }
  const auto is_before = [&spec](uint32_t a, uint32_t b) {
    const ChunkRecord& left = spec.chunks[a];
    const ChunkRecord& right = spec.chunks[b];
    return std::tie(left.member, left.inner_offset, a) <
           std::tie(right.member, right.inner_offset, b);
  };
  // As they are where a layer's chunks are in the blob's order.
  if (!std::ranges::is_sorted(references, is_before)) {
    std::ranges::sort(references, is_before);
  }
  for (uint32_t i = 0; i < references.size(); ++i) {
    MemberRecord& member = spec.members[spec.chunks[references[i]].member];
    if (member.reference_count++ == 0) {
      member.first_reference = i;
    }
  }
  return references;
}

}  // namespace

StatusOr<Bytes> WriteChunkTable(ChunkTableSpec spec) {
  if (spec.chunks.size() > UINT32_MAX || spec.members.size() > spec.chunks.size()) {
    return MakeError(StatusCode::kInvalidArgument, "chunk table: impossible counts");
  }
  for (const ChunkRecord& chunk : spec.chunks) {
    if (chunk.member >= spec.members.size()) {
      return MakeError(StatusCode::kInvalidArgument, "chunk table: a chunk without member");
    }
  }
  for (MemberRecord& member : spec.members) {
    member.first_reference = 0;
    member.reference_count = 0;
  }
  const std::vector<uint32_t> references = GroupByMember(spec);
  Header header;
  header.version = spec.codec == Codec::kGzipSpans ? kVersionWithSeekIndex : kVersion;
  header.flags = (spec.has_xattrs ? kHasXattrs : 0) | (spec.no_prefetch ? kNoPrefetch : 0) |
                 (spec.prefetch_end ? kHasPrefetchEnd : 0);
  header.chunk_count = spec.chunks.size();
  header.member_count = spec.members.size();
  header.data_size_bytes = spec.data_size_bytes;
  header.blob_size_bytes = spec.blob_size_bytes;
  header.prefetch_end = spec.prefetch_end.value_or(0);
  header.codec = spec.codec;
  Bytes out;
  out.reserve(sizeof header + spec.chunks.size() * (sizeof(ChunkRecord) + sizeof(uint32_t)) +
              spec.members.size() * sizeof(MemberRecord) + spec.seek_index.size());
  Append(out, std::as_bytes(std::span(&header, 1)));
  Append(out, std::as_bytes(std::span(spec.chunks)));
  Append(out, std::as_bytes(std::span(spec.members)));
  Append(out, std::as_bytes(std::span(references)));
  Append(out, spec.seek_index);
  if (auto table = ChunkTable::Open(out); !table.ok()) {
    return MakeError(StatusCode::kInvalidArgument, MessageOf(table.status()));
  }
  return out;
}

StatusOr<ChunkTable> ChunkTable::Open(ByteSpan table) {
  Header header;
  if (table.size() < sizeof header) {
    return Broken("shorter than its header");
  }
  std::memcpy(&header, table.data(), sizeof header);
  if (header.magic != kMagic || !MayHave(header.version, header.codec)) {
    return Broken("unknown format, version or codec");
  }
  // The bounds make the sum below exact.
  if (header.chunk_count > UINT32_MAX || header.member_count > header.chunk_count) {
    return Broken("impossible counts");
  }
  const uint64_t expected = sizeof header +
                            header.chunk_count * (sizeof(ChunkRecord) + sizeof(uint32_t)) +
                            header.member_count * sizeof(MemberRecord);
  const bool has_seek_index = header.codec == Codec::kGzipSpans;
  if (has_seek_index ? table.size() <= expected : table.size() != expected) {
    return Broken(fmt::format("{} bytes long instead of {}", table.size(), expected));
  }
  if (reinterpret_cast<uintptr_t>(table.data()) % alignof(ChunkRecord) != 0) {
    return MakeError(StatusCode::kInvalidArgument, "chunk table: misaligned memory");
  }
  ChunkTable result;
  const std::byte* at = table.data() + sizeof header;
  result.chunks_ = {reinterpret_cast<const ChunkRecord*>(at), header.chunk_count};
  at += result.chunks_.size_bytes();
  result.members_ = {reinterpret_cast<const MemberRecord*>(at), header.member_count};
  at += result.members_.size_bytes();
  result.references_ = {reinterpret_cast<const uint32_t*>(at), header.chunk_count};
  result.data_size_bytes_ = header.data_size_bytes;
  result.blob_size_bytes_ = header.blob_size_bytes;
  result.codec_ = header.codec;
  if ((header.flags & kHasPrefetchEnd) != 0) {
    result.prefetch_end_ = header.prefetch_end;
  }
  result.no_prefetch_ = (header.flags & kNoPrefetch) != 0;
  result.has_xattrs_ = (header.flags & kHasXattrs) != 0;
  RETURN_IF_ERROR(result.Check());
  if (has_seek_index) {
    ASSIGN_OR_RETURN(result.seek_index_, estargz::GzipSeekIndex::Open(table.subspan(expected)));
    RETURN_IF_ERROR(result.CheckSpans());
  }
  return result;
}

Status ChunkTable::Check() const {
  uint64_t free_from = 0;
  for (const ChunkRecord& chunk : chunks_) {
    if (chunk.size_bytes == 0 || chunk.size_bytes > kMaxChunkBytes) {
      return Broken("a chunk of impossible size");
    }
    if (chunk.data_address < free_from || chunk.data_address > data_size_bytes_ ||
        chunk.size_bytes > data_size_bytes_ - chunk.data_address) {
      return Broken("chunks overlap, are not sorted or leave the data device");
    }
    if (chunk.inner_offset > UINT64_MAX - chunk.size_bytes) {
      return Broken("an impossible inner offset");
    }
    free_from = chunk.range().end();
  }
  free_from = 0;
  uint64_t references = 0;
  for (uint32_t number = 0; number < members_.size(); ++number) {
    const MemberRecord& member = members_[number];
    if (member.blob_size == 0 || member.blob_offset < free_from ||
        member.blob_offset > blob_size_bytes_ ||
        member.blob_size > blob_size_bytes_ - member.blob_offset) {
      return Broken("members overlap, are not sorted or leave the blob");
    }
    if (member.reference_count == 0 || member.first_reference != references ||
        member.reference_count > references_.size() - references) {
      return Broken("a member has no chunks");
    }
    for (const uint32_t chunk : ChunksOf(number)) {
      if (chunk >= chunks_.size() || chunks_[chunk].member != number) {
        return Broken("a chunk belongs to two members");
      }
    }
    references += member.reference_count;
    free_from = member.end();
  }
  if (references != references_.size()) {
    return Broken("a chunk without member");
  }
  return OkStatus();
}

/// Every member is a whole span, which holds the member's chunks.
Status ChunkTable::CheckSpans() const {
  if (seek_index_->blob_end() > blob_size_bytes_) {
    return Broken("the points of the seek index leave the blob");
  }
  for (uint32_t number = 0; number < members_.size(); ++number) {
    const MemberRecord& member = members_[number];
    const std::optional<size_t> point = seek_index_->PointAt(member.blob_offset);
    if (!point) {
      return Broken("a member begins at no point of the seek index");
    }
    const estargz::GzipSpan span = seek_index_->SpanAt(*point);
    if (member.blob_size < span.blob_bytes) {
      return Broken("a member ends before its span");
    }
    for (const uint32_t chunk : ChunksOf(number)) {
      const ChunkRecord& record = chunks_[chunk];
      if (record.inner_offset + record.size_bytes > span.tar_bytes) {
        return Broken("a chunk leaves its span");
      }
    }
  }
  return OkStatus();
}

std::span<const uint32_t> ChunkTable::ChunksOf(uint32_t member) const {
  return references_.subspan(members_[member].first_reference, members_[member].reference_count);
}

bool ChunkTable::IsUnlikely(uint32_t member) const {
  return std::ranges::all_of(
      ChunksOf(member), [this](uint32_t chunk) { return (chunks_[chunk].flags & kUnlikely) != 0; });
}

ChunkSpan ChunkTable::Find(DataRange range) const {
  if (range.size_bytes == 0) {
    return {};
  }
  const auto first =
      std::ranges::upper_bound(chunks_, range.data_address, {},
                               [](const ChunkRecord& chunk) { return chunk.range().end(); });
  const auto last = std::lower_bound(
      first, chunks_.end(), range.end(),
      [](const ChunkRecord& chunk, uint64_t end) { return chunk.data_address < end; });
  return {.first = static_cast<uint32_t>(first - chunks_.begin()),
          .last = static_cast<uint32_t>(last - chunks_.begin())};
}

}  // namespace starling::layer
