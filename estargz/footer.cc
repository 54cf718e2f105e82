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

unsigned ByteAt(ByteSpan bytes, size_t index) { return std::to_integer<unsigned>(bytes[index]); }

unsigned LittleEndian16(ByteSpan bytes, size_t index) {
  return ByteAt(bytes, index) | ByteAt(bytes, index + 1) << 8;
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

/// The 22 bytes of text in the extra field of a footer of `kind`, or nothing.
std::optional<std::string_view> FooterText(ByteSpan footer, FooterKind kind) {
  const std::optional<ByteSpan> extra = GzipExtra(footer);
  if (!extra) {
    return std::nullopt;
  }
  ByteSpan text = *extra;
  if (kind == FooterKind::kEstargz) {
    if (text.size() != kSubfieldHeaderBytes + kTextBytes || AsText(text.first(2)) != "SG" ||
        LittleEndian16(text, 2) != kTextBytes) {
      return std::nullopt;
    }
    text = text.subspan(kSubfieldHeaderBytes);
  }
  if (text.size() != kTextBytes || !AsText(text).ends_with(kMagic)) {
    return std::nullopt;
  }
  return AsText(text);
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

}  // namespace

StatusOr<Footer> ParseFooter(ByteSpan tail, uint64_t blob_size) {
  if (tail.size() > blob_size || (tail.size() < kFooterBytes && tail.size() != blob_size)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("footer: {} bytes are not the tail of a blob of {} bytes",
                                 tail.size(), blob_size));
  }
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
    return Footer{
        .kind = candidate.kind, .toc_offset = toc_offset, .size_bytes = candidate.size_bytes};
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

}  // namespace starling::estargz
