#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/status.h"
#include "layer/chunk_table.h"

namespace starling::layer {

/// Several chunks may share a member; all of them are decoded at once, in memory.
inline constexpr uint64_t kMaxMemberBytes = 2 * kMaxChunkBytes;

/// Memory that is written before it is read, so it need not be zeroed.
struct DecodedBytes {
  std::unique_ptr<std::byte[]> memory;
  uint64_t size_bytes = 0;

  ByteSpan span() const { return {memory.get(), size_bytes}; }
};

/// The first `wanted_bytes` of what `compressed`, the member of that number and perhaps more behind
/// it, decompresses to. Nothing proves them yet. Threads: safe; each keeps its working memory.
/// Errors: kDataLoss when they cannot be had; kResourceExhausted beyond kMaxMemberBytes;
/// kFailedPrecondition for Codec::kWhole.
StatusOr<DecodedBytes> DecodeMember(const ChunkTable& table, uint32_t member, ByteSpan compressed,
                                    uint64_t wanted_bytes);

/// The same for a member that can be decoded by itself: not one of kGzipSpans.
StatusOr<DecodedBytes> DecodePrefix(Codec codec, ByteSpan compressed, uint64_t wanted_bytes);

/// All that `compressed`, the member of that number and nothing else, decompresses to. Errors also:
/// kDataLoss when that is less than its chunks need; kResourceExhausted or kDataLoss when it goes
/// on for more than 64 KiB behind the last of them; kFailedPrecondition for members that only
/// DecodeMember knows.
StatusOr<DecodedBytes> DecodeWholeMember(const ChunkTable& table, uint32_t member,
                                         ByteSpan compressed);

}  // namespace starling::layer
