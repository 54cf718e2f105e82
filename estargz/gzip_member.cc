#include "estargz/gzip_member.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace starling::estargz {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // the largest window, gzip framing only
// Header, an empty block of two bytes, trailer.
constexpr size_t kSmallestMemberBytes = 20;
// A member of a layer holds a chunk, its padding and the headers up to the next file. With a range
// that ends this close to the member's end it is cheaper to decompress all of it with libdeflate.
constexpr uint64_t kSlackBytes = 1 << 20;
constexpr size_t kDiscardBytes = 64 << 10;

struct DeflateDeleter {
  void operator()(libdeflate_decompressor* decompressor) const {
    libdeflate_free_decompressor(decompressor);
  }
};

Status Broken(std::string_view how) {
  return MakeError(StatusCode::kDataLoss, fmt::format("gzip: {}", how));
}

/// A zlib stream over members in a row.
class MemberStream {
 public:
  explicit MemberStream(ByteSpan compressed) : left_(compressed) {}
  MemberStream(const MemberStream&) = delete;
  MemberStream& operator=(const MemberStream&) = delete;
  ~MemberStream() {
    if (open_) {
      inflateEnd(&stream_);
    }
  }

  /// Decompresses into `out` until it is full or the input ends with a member; returns the bytes.
  StatusOr<size_t> Read(std::span<std::byte> out) {
    size_t filled = 0;
    while (filled < out.size()) {
      if (!in_member_) {
        if (left_.empty()) {
          return filled;
        }
        RETURN_IF_ERROR(StartMember());
      }
      ASSIGN_OR_RETURN(const size_t count, Step(out.subspan(filled)));
      filled += count;
    }
    return filled;
  }

 private:
  Status StartMember() {
    const int code = open_ ? inflateReset(&stream_) : inflateInit2(&stream_, kGzipWindowBits);
    if (code != Z_OK) {
      return MakeError(StatusCode::kResourceExhausted, "gzip: no memory for zlib");
    }
    open_ = true;
    in_member_ = true;
    return OkStatus();
  }

  StatusOr<size_t> Step(std::span<std::byte> out) {
    constexpr size_t kMost = std::numeric_limits<uInt>::max();
    const auto in_bytes = static_cast<uInt>(std::min(left_.size(), kMost));
    const auto out_bytes = static_cast<uInt>(std::min(out.size(), kMost));
    // zlib does not write to its input; its pointer is not const for old compilers' sake.
    stream_.next_in = const_cast<Bytef*>(AsUnsigned(left_));
    stream_.avail_in = in_bytes;
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = out_bytes;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    left_ = left_.subspan(in_bytes - stream_.avail_in);
    const size_t written = out_bytes - stream_.avail_out;
    if (code == Z_STREAM_END) {
      in_member_ = false;
    } else if (code == Z_BUF_ERROR || (code == Z_OK && written == 0 && left_.empty())) {
      return Broken("the member is cut off");
    } else if (code != Z_OK) {
      return Broken(stream_.msg != nullptr ? stream_.msg : "broken member");
    }
    return written;
  }

  z_stream stream_{};
  ByteSpan left_;
  bool open_ = false;
  bool in_member_ = false;
};

/// True when no honest gzip data of this size decompresses to `size_bytes`.
bool Impossible(size_t compressed_bytes, uint64_t size_bytes) {
  return size_bytes / kMaxDeflateRatio > compressed_bytes;
}

Status InflateRangeStreaming(ByteSpan compressed, uint64_t inner_offset, std::span<std::byte> out) {
  MemberStream stream(compressed);
  Bytes discard(static_cast<size_t>(std::min<uint64_t>(inner_offset, kDiscardBytes)));
  for (uint64_t skipped = 0; skipped < inner_offset;) {
    const auto want = static_cast<size_t>(
        std::min<uint64_t>(inner_offset - skipped, static_cast<uint64_t>(discard.size())));
    ASSIGN_OR_RETURN(const size_t count, stream.Read(std::span(discard).first(want)));
    if (count == 0) {
      return Broken("the range lies behind the end of the data");
    }
    skipped += count;
  }
  ASSIGN_OR_RETURN(const size_t filled, stream.Read(out));
  if (filled != out.size()) {
    return Broken(fmt::format("the data ends {} bytes early", out.size() - filled));
  }
  return OkStatus();
}

}  // namespace

struct GzipInflater::State {
  std::unique_ptr<libdeflate_decompressor, DeflateDeleter> decompressor{
      libdeflate_alloc_decompressor()};
  // Not a vector: nobody needs its bytes to be zero.
  std::unique_ptr<std::byte[]> scratch;
  size_t scratch_bytes = 0;

  std::span<std::byte> Scratch(size_t size_bytes) {
    if (scratch_bytes < size_bytes) {
      scratch = std::make_unique_for_overwrite<std::byte[]>(size_bytes);
      scratch_bytes = size_bytes;
    }
    return {scratch.get(), size_bytes};
  }
};

GzipInflater::GzipInflater() : state_(std::make_unique<State>()) {}
GzipInflater::GzipInflater(GzipInflater&&) noexcept = default;
GzipInflater& GzipInflater::operator=(GzipInflater&&) noexcept = default;
GzipInflater::~GzipInflater() = default;

std::optional<uint32_t> ClaimedSizeBytes(ByteSpan compressed) {
  if (compressed.size() < kSmallestMemberBytes) {
    return std::nullopt;
  }
  uint32_t size_bytes = 0;
  for (size_t i = 0; i < 4; ++i) {
    size_bytes |= std::to_integer<uint32_t>(compressed[compressed.size() - 4 + i]) << (8 * i);
  }
  return size_bytes;
}

StatusOr<InflatedMember> GzipInflater::InflateMember(ByteSpan compressed,
                                                     std::span<std::byte> out) {
  if (state_->decompressor == nullptr) {
    return MakeError(StatusCode::kResourceExhausted, "gzip: no memory for libdeflate");
  }
  InflatedMember member;
  // libdeflate wants a buffer that it may point to, also for nothing.
  std::byte nothing;
  switch (libdeflate_gzip_decompress_ex(state_->decompressor.get(), compressed.data(),
                                        compressed.size(), out.empty() ? &nothing : out.data(),
                                        out.size(), &member.compressed_bytes,
                                        &member.decompressed_bytes)) {
    case LIBDEFLATE_SUCCESS:
      return member;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("gzip: the member holds more than {} bytes", out.size()));
    case LIBDEFLATE_BAD_DATA:
    case LIBDEFLATE_SHORT_OUTPUT:
      break;
  }
  return Broken("broken or cut off member");
}

Status GzipInflater::InflateRange(ByteSpan compressed, uint64_t inner_offset,
                                  std::span<std::byte> out) {
  if (out.empty()) {
    return OkStatus();
  }
  if (inner_offset > std::numeric_limits<uint64_t>::max() - out.size() ||
      Impossible(compressed.size(), inner_offset + out.size())) {
    return Broken("the range is larger than the compressed bytes can hold");
  }
  const uint64_t end = inner_offset + out.size();
  const uint64_t claimed = ClaimedSizeBytes(compressed).value_or(0);
  // The whole stretch in one go when it is one member that ends not far behind the range. A wrong
  // claim costs time, not correctness.
  if (claimed >= end && claimed - end <= kSlackBytes && inner_offset <= kSlackBytes) {
    const std::span<std::byte> all =
        claimed == out.size() ? out : state_->Scratch(static_cast<size_t>(claimed));
    const StatusOr<InflatedMember> member = InflateMember(compressed, all);
    if (member.ok() && member->decompressed_bytes >= end) {
      if (all.data() != out.data()) {
        std::memcpy(out.data(), all.data() + inner_offset, out.size());
      }
      return OkStatus();
    }
  }
  return InflateRangeStreaming(compressed, inner_offset, out);
}

StatusOr<Bytes> GzipInflater::InflateAll(ByteSpan compressed, uint64_t limit_bytes) {
  Bytes all;
  const uint64_t claimed = ClaimedSizeBytes(compressed).value_or(0);
  if (claimed <= limit_bytes && !Impossible(compressed.size(), claimed)) {
    all.resize(static_cast<size_t>(claimed));
    const StatusOr<InflatedMember> member = InflateMember(compressed, all);
    if (member.ok() && member->compressed_bytes == compressed.size()) {
      all.resize(member->decompressed_bytes);
      return all;
    }
  }
  // Several members, or a wrong claim: find the size by decompressing.
  MemberStream stream(compressed);
  size_t filled = 0;
  while (true) {
    const uint64_t room = std::max<uint64_t>(kDiscardBytes, filled);
    all.resize(filled + static_cast<size_t>(std::min<uint64_t>(room, limit_bytes - filled + 1)));
    ASSIGN_OR_RETURN(const size_t count, stream.Read(std::span(all).subspan(filled)));
    filled += count;
    if (filled > limit_bytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("gzip: more than {} bytes", limit_bytes));
    }
    if (filled < all.size()) {
      all.resize(filled);
      return all;
    }
  }
}

}  // namespace starling::estargz
