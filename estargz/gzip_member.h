/// Bounded decompression of gzip members. Source: RFC 1952.
#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::estargz {

/// Deflate cannot do better than 1032 to 1; a claim beyond that is a lie that costs no work to
/// find. Source: zlib's "Technical Details", "Maximum Compression Factor".
inline constexpr uint64_t kMaxDeflateRatio = 1032;

/// What one member turned out to be.
struct InflatedMember {
  size_t compressed_bytes = 0;    // of the input that the member takes
  size_t decompressed_bytes = 0;  // written to the output
};

/// The decompressed size that the last member in `compressed` claims, modulo 2^32: the right size
/// for an output buffer when the input is honest. Nothing for input that is too short.
std::optional<uint32_t> ClaimedSizeBytes(ByteSpan compressed);

/// Decompresses gzip members; keeps its working memory from call to call.
/// Threads: one call at a time; make one for each thread.
class GzipInflater {
 public:
  GzipInflater();
  GzipInflater(GzipInflater&&) noexcept;
  GzipInflater& operator=(GzipInflater&&) noexcept;
  ~GzipInflater();

  /// Decompresses the first member of `compressed` completely into `out`; its checksum is verified.
  /// The fast path: no copy, for an `out` that is known to be large enough.
  /// Errors: kResourceExhausted when the member holds more than `out`; kDataLoss when it is broken
  /// or cut off.
  StatusOr<InflatedMember> InflateMember(ByteSpan compressed, std::span<std::byte> out);

  /// Fills `out` with the bytes from `inner_offset` of what `compressed`, one or more members in a
  /// row, decompresses to. What lies behind the range may be anything: the gzip checksum of the
  /// last member is not always reached, so the caller must hold a digest of the bytes.
  /// Errors: kDataLoss when the range cannot be had.
  Status InflateRange(ByteSpan compressed, uint64_t inner_offset, std::span<std::byte> out);

  /// All members of `compressed`, which ends with the last one.
  /// Errors: kResourceExhausted for more than `limit_bytes`; kDataLoss for broken input.
  StatusOr<Bytes> InflateAll(ByteSpan compressed, uint64_t limit_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling::estargz
