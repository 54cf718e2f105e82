#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::estargz {

inline constexpr uint64_t kFooterBytes = 51;
inline constexpr uint64_t kLegacyFooterBytes = 47;
inline constexpr uint64_t kExternalFooterBytes = 46;
/// A zstd skippable frame starts with its magic and its size, four bytes each.
inline constexpr uint64_t kSkippableHeaderBytes = 8;
inline constexpr uint64_t kZstdFooterBytes = kSkippableHeaderBytes + 40;
inline constexpr uint64_t kZstdTarSplitFooterBytes = kSkippableHeaderBytes + 64;
/// No footer is longer.
inline constexpr uint64_t kMaxFooterBytes = kZstdTarSplitFooterBytes;

enum class FooterKind {
  kEstargz,       // 51 bytes
  kLegacyStargz,  // 47 bytes: its TOC carries no digests, so it can never be verified
  kExternalToc,   // 46 bytes: the TOC is in another image
  /// zstd:chunked with a footer of 40 bytes: of stargz-snapshotter, and of containers/storage until
  /// 2023.
  kZstdChunked,
  /// zstd:chunked with a footer of 64 bytes: of containers/storage since then.
  kZstdChunkedTarSplit,
};

/// Whether the blob's members are zstd frames. They are gzip members otherwise.
constexpr bool IsZstd(FooterKind kind) {
  return kind == FooterKind::kZstdChunked || kind == FooterKind::kZstdChunkedTarSplit;
}

/// Where the parts of a blob are. All of it lies inside the blob and before the footer.
struct Footer {
  FooterKind kind = FooterKind::kEstargz;
  uint64_t payload_end = 0;  // no file's bytes are stored from here on
  uint64_t toc_offset = 0;   // of the compressed TOC: a gzip member, or zstd frames
  uint64_t toc_bytes = 0;    // compressed; 0 when the TOC is external
  uint64_t json_bytes = 0;   // of the TOC; zstd only
  uint64_t size_bytes = 0;   // of the footer itself
};

/// Finds the footer in `tail`, the last bytes of a blob of `blob_size` bytes (at least
/// kMaxFooterBytes, or the whole blob).
/// Errors: kNotFound when the blob has no footer of a known kind (it is an ordinary layer);
/// kDataLoss for a footer that lies.
/// Source: eStargz specification, "Footer"; the gzip header is parsed, not compared.
/// stargz-snapshotter, estargz/externaltoc and estargz/zstdchunked; containers/storage,
/// pkg/chunked/internal/minimal.
StatusOr<Footer> ParseFooter(ByteSpan tail, uint64_t blob_size);

/// The footer of a new eStargz layer.
std::array<std::byte, kFooterBytes> MakeFooter(uint64_t toc_offset);

/// What a skippable frame of a blob holds.
struct FramedPart {
  uint64_t blob_offset = 0;   // behind the frame's header
  uint64_t stored_bytes = 0;  // compressed
  uint64_t decompressed_bytes = 0;

  friend bool operator==(const FramedPart&, const FramedPart&) = default;
};

/// What stands in front of `payload_bytes` that decoders are to skip.
std::array<std::byte, kSkippableHeaderBytes> MakeSkippableHeader(uint32_t payload_bytes);

/// The footer of a new zstd:chunked layer, in stargz' dialect.
Bytes MakeZstdFooter(const FramedPart& toc);
/// In that of containers/storage. A layer without a tar-split has an empty one.
Bytes MakeZstdTarSplitFooter(const FramedPart& toc, const FramedPart& tar_split);

}  // namespace starling::estargz
