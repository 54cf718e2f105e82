#include "estargz/footer.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace starling::estargz {
namespace {

// Source: RFC 1952, "Member header and trailer".
constexpr size_t kHeaderBytes = 10;
constexpr unsigned kFlagExtra = 0x04;
// The text of the extra field: 16 hexadecimal digits of the TOC's offset, then the magic.
constexpr size_t kOffsetDigits = 16;
constexpr std::string_view kMagic = "STARGZ";
constexpr size_t kTextBytes = kOffsetDigits + kMagic.size();
constexpr size_t kSubfieldHeaderBytes = 4;  // SI1, SI2, LEN
constexpr std::string_view kExternalMagic = "STARGZEXTERNALTOC";
// Of the frames that the two zstd dialects write; others would be skipped as well.
constexpr std::string_view kSkippableMagic = "\x50\x2a\x4d\x18";
constexpr std::string_view kZstdMagic = "GnUlInUx";
constexpr std::string_view kZstdTarSplitMagic = "GNUlInUx";
constexpr uint64_t kTocType = 1;

unsigned ByteAt(ByteSpan bytes, size_t index) { return std::to_integer<unsigned>(bytes[index]); }

unsigned LittleEndian16(ByteSpan bytes, size_t index) {
  return ByteAt(bytes, index) | ByteAt(bytes, index + 1) << 8;
}

/// At most eight bytes.
uint64_t LittleEndian(ByteSpan bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | ByteAt(bytes, i);
  }
  return value;
}

void AppendLittleEndian(std::string& out, uint64_t value, size_t bytes = sizeof(uint64_t)) {
  for (size_t i = 0; i < bytes; ++i) {
    out += static_cast<char>(value >> (8 * i) & 0xff);
  }
}

std::string SkippableHeader(uint32_t payload_bytes) {
  std::string header(kSkippableMagic);
  AppendLittleEndian(header, payload_bytes, sizeof(payload_bytes));
  return header;
}

void AppendPart(std::string& out, const FramedPart& part) {
  AppendLittleEndian(out, part.blob_offset);
  AppendLittleEndian(out, part.stored_bytes);
  AppendLittleEndian(out, part.decompressed_bytes);
}

/// The extra field of the gzip member that starts `member`, or nothing.
std::optional<ByteSpan> GzipExtra(ByteSpan member) {
  if (member.size() < kHeaderBytes + 2 || ByteAt(member, 0) != 0x1f || ByteAt(member, 1) != 0x8b ||
      ByteAt(member, 2) != 8 || (ByteAt(member, 3) & kFlagExtra) == 0) {
    return std::nullopt;
  }
  const size_t size_bytes = LittleEndian16(member, kHeaderBytes);
  if (member.size() - kHeaderBytes - 2 < size_bytes) {
    return std::nullopt;
  }
  return member.subspan(kHeaderBytes + 2, size_bytes);
}

/// The text of the only subfield of an extra field, whose identifiers are "SG"; else nothing.
std::optional<std::string_view> Subfield(ByteSpan extra) {
  if (extra.size() < kSubfieldHeaderBytes || AsText(extra.first(2)) != "SG" ||
      LittleEndian16(extra, 2) != extra.size() - kSubfieldHeaderBytes) {
    return std::nullopt;
  }
  return AsText(extra.subspan(kSubfieldHeaderBytes));
}

/// The 22 bytes of text in the extra field of a footer of `kind`, or nothing.
std::optional<std::string_view> FooterText(ByteSpan footer, FooterKind kind) {
  const std::optional<ByteSpan> extra = GzipExtra(footer);
  if (!extra) {
    return std::nullopt;
  }
  const std::optional<std::string_view> text =
      kind == FooterKind::kEstargz ? Subfield(*extra) : AsText(*extra);
  if (!text || text->size() != kTextBytes || !text->ends_with(kMagic)) {
    return std::nullopt;
  }
  return text;
}

StatusOr<uint64_t> ParseOffset(std::string_view digits) {
  // from_chars alone would also take upper case and a shorter number.
  const bool all_digits = std::all_of(digits.begin(), digits.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  uint64_t offset = 0;
  if (!all_digits ||
      std::from_chars(digits.data(), digits.data() + digits.size(), offset, 16).ec != std::errc()) {
    return MakeError(StatusCode::kDataLoss,
                     "footer: the TOC offset is not 16 lower-case hexadecimal digits");
  }
  return offset;
}

/// A footer of eStargz or stargz, if there is one.
StatusOr<std::optional<Footer>> ParseGzip(ByteSpan tail, uint64_t blob_size) {
  constexpr struct {
    FooterKind kind;
    uint64_t size_bytes;
  } kKinds[] = {{FooterKind::kEstargz, kFooterBytes},
                {FooterKind::kLegacyStargz, kLegacyFooterBytes}};
  for (const auto& candidate : kKinds) {
    if (tail.size() < candidate.size_bytes) {
      continue;
    }
    const std::optional<std::string_view> text =
        FooterText(tail.last(candidate.size_bytes), candidate.kind);
    if (!text) {
      continue;
    }
    ASSIGN_OR_RETURN(const uint64_t toc_offset, ParseOffset(text->substr(0, kOffsetDigits)));
    if (toc_offset >= blob_size - candidate.size_bytes) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("footer: TOC offset {} is outside the blob's {} bytes",
                                   toc_offset, blob_size));
    }
    return Footer{.kind = candidate.kind,
                  .payload_end = toc_offset,
                  .toc_offset = toc_offset,
                  .toc_bytes = blob_size - candidate.size_bytes - toc_offset,
                  .size_bytes = candidate.size_bytes};
  }
  return std::nullopt;
}

StatusOr<std::optional<Footer>> ParseExternal(ByteSpan tail, uint64_t blob_size) {
  if (tail.size() < kExternalFooterBytes) {
    return std::nullopt;
  }
  const std::optional<ByteSpan> extra = GzipExtra(tail.last(kExternalFooterBytes));
  if (!extra || Subfield(*extra) != kExternalMagic) {
    return std::nullopt;
  }
  return Footer{.kind = FooterKind::kExternalToc,
                .payload_end = blob_size - kExternalFooterBytes,
                .size_bytes = kExternalFooterBytes};
}

/// A footer of zstd:chunked, if there is one. The TOC stands in a skippable frame of its own; in
/// the longer kind the frame of the tar-split, of which nothing is read here, follows.
StatusOr<std::optional<Footer>> ParseZstd(ByteSpan tail, uint64_t blob_size) {
  constexpr struct {
    FooterKind kind;
    uint64_t size_bytes;
    std::string_view magic;
  } kKinds[] = {{FooterKind::kZstdChunked, kZstdFooterBytes, kZstdMagic},
                {FooterKind::kZstdChunkedTarSplit, kZstdTarSplitFooterBytes, kZstdTarSplitMagic}};
  for (const auto& candidate : kKinds) {
    if (tail.size() < candidate.size_bytes) {
      continue;
    }
    const ByteSpan frame = tail.last(candidate.size_bytes);
    if (AsText(frame.first(kSkippableMagic.size())) != kSkippableMagic ||
        LittleEndian(frame.subspan(kSkippableMagic.size(), 4)) !=
            candidate.size_bytes - kSkippableHeaderBytes ||
        AsText(frame.last(candidate.magic.size())) != candidate.magic) {
      continue;
    }
    const ByteSpan numbers = frame.subspan(kSkippableHeaderBytes);
    const Footer footer{.kind = candidate.kind,
                        .payload_end = LittleEndian(numbers.first(8)) - kSkippableHeaderBytes,
                        .toc_offset = LittleEndian(numbers.first(8)),
                        .toc_bytes = LittleEndian(numbers.subspan(8, 8)),
                        .json_bytes = LittleEndian(numbers.subspan(16, 8)),
                        .size_bytes = candidate.size_bytes};
    const uint64_t type = LittleEndian(numbers.subspan(24, 8));
    if (type != kTocType) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("footer: the TOC is of the unknown type {}", type));
    }
    const uint64_t end = blob_size - footer.size_bytes;
    if (footer.toc_offset < kSkippableHeaderBytes || footer.toc_offset >= end ||
        footer.toc_bytes == 0 || footer.toc_bytes > end - footer.toc_offset) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("footer: a TOC of {} bytes at {} is outside the blob's {} bytes",
                                   footer.toc_bytes, footer.toc_offset, blob_size));
    }
    return footer;
  }
  return std::nullopt;
}

}  // namespace

StatusOr<Footer> ParseFooter(ByteSpan tail, uint64_t blob_size) {
  if (tail.size() > blob_size || tail.size() < std::min(blob_size, kMaxFooterBytes)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("footer: {} bytes are not the tail of a blob of {} bytes",
                                 tail.size(), blob_size));
  }
  for (const auto parse : {ParseGzip, ParseExternal, ParseZstd}) {
    ASSIGN_OR_RETURN(const std::optional<Footer> footer, parse(tail, blob_size));
    if (footer) {
      return *footer;
    }
  }
  return MakeError(StatusCode::kNotFound, "the blob has no eStargz footer");
}

std::array<std::byte, kFooterBytes> MakeFooter(uint64_t toc_offset) {
  std::string footer("\x1f\x8b\x08\x04\0\0\0\0\0\xff", kHeaderBytes);
  footer += static_cast<char>(kSubfieldHeaderBytes + kTextBytes);
  footer += '\0';
  footer += "SG";
  footer += static_cast<char>(kTextBytes);
  footer += '\0';
  footer += fmt::format("{:016x}{}", toc_offset, kMagic);
  // An empty stored block, marked final; then CRC-32 and ISIZE of nothing.
  footer.append("\x01\0\0\xff\xff", 5);
  footer.append(8, '\0');
  std::array<std::byte, kFooterBytes> result{};
  std::ranges::copy(AsBytes(footer), result.begin());
  return result;
}

std::array<std::byte, kSkippableHeaderBytes> MakeSkippableHeader(uint32_t payload_bytes) {
  std::array<std::byte, kSkippableHeaderBytes> result{};
  std::ranges::copy(AsBytes(SkippableHeader(payload_bytes)), result.begin());
  return result;
}

Bytes MakeZstdFooter(const FramedPart& toc) {
  std::string footer = SkippableHeader(kZstdFooterBytes - kSkippableHeaderBytes);
  AppendPart(footer, toc);
  AppendLittleEndian(footer, kTocType);
  footer += kZstdMagic;
  return ToBytes(footer);
}

Bytes MakeZstdTarSplitFooter(const FramedPart& toc, const FramedPart& tar_split) {
  std::string footer = SkippableHeader(kZstdTarSplitFooterBytes - kSkippableHeaderBytes);
  AppendPart(footer, toc);
  AppendLittleEndian(footer, kTocType);
  AppendPart(footer, tar_split);
  footer += kZstdTarSplitMagic;
  return ToBytes(footer);
}

}  // namespace starling::estargz
