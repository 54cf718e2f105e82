#include "layer/member_decoder.h"

#include <algorithm>

#include "estargz/gzip_member.h"
#include "estargz/gzip_seek_index.h"
#include "estargz/zstd_frame.h"

namespace starling::layer {
namespace {

/// What follows a file's last chunk in its member: padding and the tar headers up to the next file.
constexpr uint64_t kMemberSlackBytes = 64 << 10;

Status InflatePrefix(ByteSpan compressed, uint64_t wanted_bytes, std::span<std::byte> room) {
  thread_local estargz::GzipInflater inflater;
  const auto whole = inflater.InflateMember(compressed, room);
  if (whole.ok() && whole->decompressed_bytes >= wanted_bytes) {
    return OkStatus();
  }
  // A larger member, or several: slower, in pieces.
  return inflater.InflateRange(compressed, 0, room.first(wanted_bytes));
}

Status DecodeZstdPrefix(ByteSpan compressed, uint64_t wanted_bytes, std::span<std::byte> room) {
  thread_local estargz::ZstdDecoder decoder;
  return decoder.DecodePrefix(compressed, wanted_bytes, room);
}

Status CheckSize(Codec codec, ByteSpan compressed, uint64_t wanted_bytes) {
  if (wanted_bytes > kMaxMemberBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("member: a chunk ends {} bytes into it, more than the {} that are "
                                 "decoded in memory",
                                 wanted_bytes, kMaxMemberBytes));
  }
  const uint64_t max_ratio =
      codec == Codec::kZstd ? estargz::kMaxZstdRatio : estargz::kMaxDeflateRatio;
  if (wanted_bytes / max_ratio > compressed.size()) {
    return MakeError(StatusCode::kDataLoss, "member: too short for what it should hold");
  }
  return OkStatus();
}

StatusOr<size_t> InflateWhole(ByteSpan compressed, std::span<std::byte> room) {
  thread_local estargz::GzipInflater inflater;
  size_t size_bytes = 0;
  while (!compressed.empty()) {
    ASSIGN_OR_RETURN(const estargz::InflatedMember member,
                     inflater.InflateMember(compressed, room.subspan(size_bytes)));
    size_bytes += member.decompressed_bytes;
    compressed = compressed.subspan(member.compressed_bytes);
  }
  return size_bytes;
}

StatusOr<size_t> DecodeZstdWhole(ByteSpan compressed, std::span<std::byte> room) {
  thread_local estargz::ZstdDecoder decoder;
  return decoder.DecodeInto(compressed, room);
}

}  // namespace

StatusOr<DecodedBytes> DecodePrefix(Codec codec, ByteSpan compressed, uint64_t wanted_bytes) {
  if (codec == Codec::kWhole) {
    return MakeError(StatusCode::kFailedPrecondition, "member: a whole layer, not read in pieces");
  }
  RETURN_IF_ERROR(CheckSize(codec, compressed, wanted_bytes));
  const uint64_t capacity = wanted_bytes + kMemberSlackBytes;
  DecodedBytes out{.memory = std::make_unique_for_overwrite<std::byte[]>(capacity),
                   .size_bytes = wanted_bytes};
  const std::span<std::byte> room(out.memory.get(), capacity);
  RETURN_IF_ERROR(codec == Codec::kZstd ? DecodeZstdPrefix(compressed, wanted_bytes, room)
                                        : InflatePrefix(compressed, wanted_bytes, room));
  return out;
}

StatusOr<DecodedBytes> DecodeMember(const ChunkTable& table, uint32_t member, ByteSpan compressed,
                                    uint64_t wanted_bytes) {
  if (table.seek_index() == nullptr) {
    return DecodePrefix(table.codec(), compressed, wanted_bytes);
  }
  // The table has checked that its span is bounded, and that there is such a point: without one,
  // the disk does not give the table any more.
  const std::optional<size_t> point =
      table.seek_index()->PointAt(table.members()[member].blob_offset);
  if (!point) {
    return MakeError(StatusCode::kInternal, "member: it begins at no point of the seek index");
  }
  const uint64_t span_bytes = table.seek_index()->SpanAt(*point).tar_bytes;
  if (wanted_bytes > span_bytes) {
    return MakeError(StatusCode::kDataLoss, "member: its span is shorter than what it should hold");
  }
  DecodedBytes out{.memory = std::make_unique_for_overwrite<std::byte[]>(wanted_bytes),
                   .size_bytes = wanted_bytes};
  thread_local estargz::GzipSpanInflater inflater;
  RETURN_IF_ERROR(inflater.Inflate(*table.seek_index(), *point, compressed,
                                   std::span(out.memory.get(), wanted_bytes)));
  return out;
}

StatusOr<DecodedBytes> DecodeWholeMember(const ChunkTable& table, uint32_t member,
                                         ByteSpan compressed) {
  const Codec codec = table.codec();
  if (codec != Codec::kGzip && codec != Codec::kZstd) {
    return MakeError(StatusCode::kFailedPrecondition, "member: not one that ends by itself");
  }
  uint64_t chunks_end = 0;
  for (const uint32_t chunk : table.ChunksOf(member)) {
    const ChunkRecord& record = table.chunks()[chunk];
    chunks_end = std::max(chunks_end, record.inner_offset + record.size_bytes);
  }
  RETURN_IF_ERROR(CheckSize(codec, compressed, chunks_end));
  const uint64_t capacity = chunks_end + kMemberSlackBytes;
  DecodedBytes out{.memory = std::make_unique_for_overwrite<std::byte[]>(capacity)};
  const std::span<std::byte> room(out.memory.get(), capacity);
  ASSIGN_OR_RETURN(out.size_bytes, codec == Codec::kZstd ? DecodeZstdWhole(compressed, room)
                                                         : InflateWhole(compressed, room));
  if (out.size_bytes < chunks_end) {
    return MakeError(StatusCode::kDataLoss, "member: shorter than what it should hold");
  }
  return out;
}

}  // namespace starling::layer
