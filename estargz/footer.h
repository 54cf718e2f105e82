#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::estargz {

inline constexpr uint64_t kFooterBytes = 51;
inline constexpr uint64_t kLegacyFooterBytes = 47;

enum class FooterKind {
  kEstargz,       // 51 bytes
  kLegacyStargz,  // 47 bytes: its TOC carries no digests, so it can never be verified
};

struct Footer {
  FooterKind kind = FooterKind::kEstargz;
  uint64_t toc_offset = 0;  // of the TOC's gzip member in the blob; the payload ends there
  uint64_t size_bytes = 0;  // of the footer itself
};

/// Finds the footer in `tail`, the last bytes of a blob of `blob_size` bytes (at least 51, or the
/// whole blob). The TOC offset is always inside the blob and before the footer.
/// Errors: kNotFound when the blob has no footer of a known kind (it is an ordinary layer);
/// kDataLoss for a footer that lies.
/// Source: eStargz specification, "Footer"; the gzip header is parsed, not compared.
StatusOr<Footer> ParseFooter(ByteSpan tail, uint64_t blob_size);

/// The footer of a new layer.
std::array<std::byte, kFooterBytes> MakeFooter(uint64_t toc_offset);

}  // namespace starling::estargz
