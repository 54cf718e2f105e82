/// Bounded decompression of zstd frames. Source: RFC 8878.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::estargz {

/// A block of 128 KiB takes four bytes at least; a claim beyond that is a lie that costs no work to
/// find. Source: RFC 8878, "Blocks".
inline constexpr uint64_t kMaxZstdRatio = 32 << 10;

/// Threads: one call at a time; make one for each thread.
class ZstdDecoder {
 public:
  ZstdDecoder();
  ZstdDecoder(ZstdDecoder&&) noexcept;
  ZstdDecoder& operator=(ZstdDecoder&&) noexcept;
  ~ZstdDecoder();

  /// Fills the first `wanted_bytes` of `room` with what the frames in `compressed` decompress to;
  /// skippable ones count as nothing. The bytes of `room` behind them may be written too: a room
  /// for all of the first frame makes this fast. What lies behind the wanted bytes may be anything:
  /// a frame's checksum is not always reached, so the caller must hold a digest of the bytes.
  /// Errors: kDataLoss when they cannot be had; kResourceExhausted for a window of more than
  /// 128 MiB.
  Status DecodePrefix(ByteSpan compressed, uint64_t wanted_bytes, std::span<std::byte> room);

  /// All that `compressed`, whole frames, decompresses to, into the front of `out`; returns its
  /// size. kDataLoss when it is broken or more than `out`.
  StatusOr<size_t> DecodeInto(ByteSpan compressed, std::span<std::byte> out);

  /// Fills `out` with all that `compressed`, whole frames, decompresses to. kDataLoss when that is
  /// more or less, or broken.
  Status DecodeAll(ByteSpan compressed, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling::estargz
