#include "layer/member_decoder.h"

#include "estargz/gzip_member.h"

namespace starling::layer {
namespace {

/// What follows a file's last chunk in its member: padding and the tar headers up to the next file.
constexpr uint64_t kMemberSlackBytes = 64 << 10;

}  // namespace

StatusOr<DecodedBytes> DecodePrefix(ByteSpan compressed, uint64_t wanted_bytes) {
  thread_local estargz::GzipInflater inflater;
  if (wanted_bytes > kMaxMemberBytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("gzip member: a chunk ends {} bytes into it, more than the {} that are decoded "
                    "in memory",
                    wanted_bytes, kMaxMemberBytes));
  }
  if (wanted_bytes / estargz::kMaxDeflateRatio > compressed.size()) {
    return MakeError(StatusCode::kDataLoss, "gzip member: too short for what it should hold");
  }
  const uint64_t capacity = wanted_bytes + kMemberSlackBytes;
  DecodedBytes out{.memory = std::make_unique_for_overwrite<std::byte[]>(capacity),
                   .size_bytes = wanted_bytes};
  const auto whole = inflater.InflateMember(compressed, {out.memory.get(), capacity});
  if (whole.ok() && whole->decompressed_bytes >= wanted_bytes) {
    return out;
  }
  // A larger member, or several: slower, in pieces.
  RETURN_IF_ERROR(inflater.InflateRange(compressed, 0, {out.memory.get(), wanted_bytes}));
  return out;
}

}  // namespace starling::layer
