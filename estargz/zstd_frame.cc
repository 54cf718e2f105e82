#include "estargz/zstd_frame.h"

#include <zstd.h>
#include <zstd_errors.h>

namespace starling::estargz {
namespace {

// A frame may ask for this much memory before a byte of it is proven. 128 MiB is what
// `zstd --ultra -22` needs and what the library accepts when not asked for more.
constexpr int kMaxWindowLog = 27;

struct ContextDeleter {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
using Context = std::unique_ptr<ZSTD_DCtx, ContextDeleter>;

Status Broken(std::string_view how) {
  return MakeError(StatusCode::kDataLoss, fmt::format("zstd: {}", how));
}

Status NoMemory() { return MakeError(StatusCode::kResourceExhausted, "zstd: no memory"); }

/// In pieces, with a context that goes afterwards: it keeps the window of the largest frame.
Status DecodeStreaming(ByteSpan compressed, std::span<std::byte> out) {
  const Context context(ZSTD_createDCtx());
  if (context == nullptr || ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax,
                                                                kMaxWindowLog)) != 0) {
    return NoMemory();
  }
  ZSTD_inBuffer from{compressed.data(), compressed.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  while (to.pos < to.size) {
    const size_t read_before = from.pos;
    const size_t written_before = to.pos;
    const size_t code = ZSTD_decompressStream(context.get(), &to, &from);
    if (ZSTD_isError(code) != 0) {
      return ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge
                 ? MakeError(StatusCode::kResourceExhausted, "zstd: the window is too large")
                 : Broken(ZSTD_getErrorName(code));
    }
    if (from.pos == read_before && to.pos == written_before) {
      return Broken(fmt::format("the data ends {} bytes early", to.size - to.pos));
    }
  }
  return OkStatus();
}

}  // namespace

struct ZstdDecoder::State {
  Context context{ZSTD_createDCtx()};
};

ZstdDecoder::ZstdDecoder() : state_(std::make_unique<State>()) {}
ZstdDecoder::ZstdDecoder(ZstdDecoder&&) noexcept = default;
ZstdDecoder& ZstdDecoder::operator=(ZstdDecoder&&) noexcept = default;
ZstdDecoder::~ZstdDecoder() = default;

Status ZstdDecoder::DecodePrefix(ByteSpan compressed, uint64_t wanted_bytes,
                                 std::span<std::byte> room) {
  if (wanted_bytes > room.size()) {
    return MakeError(StatusCode::kInvalidArgument, "zstd: no room for what is wanted");
  }
  if (wanted_bytes / kMaxZstdRatio > compressed.size()) {
    return Broken("too short for what it should hold");
  }
  if (state_->context == nullptr) {
    return NoMemory();
  }
  // Nearly always the bytes are those of one frame: decoded in one go, without a window.
  const size_t frame_bytes = ZSTD_findFrameCompressedSize(compressed.data(), compressed.size());
  if (ZSTD_isError(frame_bytes) == 0) {
    const size_t decoded = ZSTD_decompressDCtx(state_->context.get(), room.data(), room.size(),
                                               compressed.data(), frame_bytes);
    if (ZSTD_isError(decoded) == 0 && decoded >= wanted_bytes) {
      return OkStatus();
    }
  }
  return DecodeStreaming(compressed, room.first(wanted_bytes));
}

StatusOr<size_t> ZstdDecoder::DecodeInto(ByteSpan compressed, std::span<std::byte> out) {
  if (state_->context == nullptr) {
    return NoMemory();
  }
  // The library wants a buffer that it may point to, also for nothing.
  std::byte nothing;
  const size_t decoded =
      ZSTD_decompressDCtx(state_->context.get(), out.empty() ? &nothing : out.data(), out.size(),
                          compressed.data(), compressed.size());
  if (ZSTD_isError(decoded) != 0) {
    return Broken(ZSTD_getErrorName(decoded));
  }
  return decoded;
}

Status ZstdDecoder::DecodeAll(ByteSpan compressed, std::span<std::byte> out) {
  if (out.size() / kMaxZstdRatio > compressed.size()) {
    return Broken("too short for what it should hold");
  }
  ASSIGN_OR_RETURN(const size_t decoded, DecodeInto(compressed, out));
  if (decoded != out.size()) {
    return Broken(fmt::format("{} bytes instead of {}", decoded, out.size()));
  }
  return OkStatus();
}

}  // namespace starling::estargz
