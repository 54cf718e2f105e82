#include "estargz/tar.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/hex.h"
#include "estargz/tar_layout.h"

namespace starling::estargz {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

using namespace tar_layout;

using HeaderBlock = std::span<const std::byte, kTarBlockBytes>;

std::string_view Raw(HeaderBlock header, Field field) {
  return AsText(header.subspan(field.at, field.size));
}

std::string_view UpToNul(std::string_view text) { return text.substr(0, text.find('\0')); }

std::string_view Text(HeaderBlock header, Field field) { return UpToNul(Raw(header, field)); }

Status Broken(std::string_view name, std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("tar entry \"{}\": {}", name, what));
}

/// A number in base 256, marked by the first byte's high bit: two's complement, big endian.
std::optional<int64_t> ParseBase256(std::string_view raw) {
  const bool negative = (static_cast<unsigned char>(raw[0]) & 0x40) != 0;
  const uint64_t fill = negative ? 0xff : 0;
  uint64_t value = negative ? ~0ULL : 0;
  for (size_t i = 0; i < raw.size(); ++i) {
    uint64_t byte = static_cast<unsigned char>(raw[i]);
    if (i == 0) {
      byte = negative ? (byte | 0x80) : (byte & 0x7f);
    }
    // What is shifted out must be sign alone.
    if ((value >> 56) != fill) {
      return std::nullopt;
    }
    value = (value << 8) | byte;
  }
  const auto number = static_cast<int64_t>(value);
  if ((number < 0) != negative) {
    return std::nullopt;
  }
  return number;
}

/// Octal digits between spaces and NULs; nothing at all is 0, as old writers leave fields empty.
std::optional<int64_t> ParseNumber(std::string_view raw) {
  if ((static_cast<unsigned char>(raw[0]) & 0x80) != 0) {
    return ParseBase256(raw);
  }
  constexpr std::string_view kFiller("\0 ", 2);
  const size_t first = raw.find_first_not_of(kFiller);
  if (first == std::string_view::npos) {
    return 0;
  }
  std::string_view digits = UpToNul(raw.substr(first));
  digits = digits.substr(0, digits.find_last_not_of(' ') + 1);
  int64_t number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, 8);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 0) {
    return std::nullopt;
  }
  return number;
}

bool ChecksumMatches(HeaderBlock header) {
  const std::optional<int64_t> want = ParseNumber(Raw(header, kChecksum));
  int64_t unsigned_sum = 0;
  int64_t signed_sum = 0;  // by old writers on machines with signed characters
  for (size_t i = 0; i < kTarBlockBytes; ++i) {
    const bool own = i >= kChecksum.at && i < kChecksum.at + kChecksum.size;
    const std::byte byte = own ? std::byte{' '} : header[i];
    unsigned_sum += static_cast<unsigned char>(byte);
    signed_sum += static_cast<signed char>(byte);
  }
  return want && (*want == unsigned_sum || *want == signed_sum);
}

bool IsZero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

/// A PAX time: "-12.5" is 500 milliseconds after -13. More than nine digits are cut off.
std::optional<TarTime> ParseTime(std::string_view text) {
  constexpr size_t kDigits = 9;
  constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  TarTime time;
  const auto [end, error] =
      std::from_chars(whole.data(), whole.data() + whole.size(), time.seconds);
  if (error != std::errc() || end != whole.data() + whole.size() ||
      fraction.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  for (size_t i = 0; i < kDigits; ++i) {
    time.nanoseconds = time.nanoseconds * 10 +
                       (i < fraction.size() ? static_cast<uint32_t>(fraction[i] - '0') : 0);
  }
  if (whole.starts_with('-') && time.nanoseconds > 0 &&
      time.seconds > std::numeric_limits<int64_t>::min()) {
    --time.seconds;
    time.nanoseconds = kNanosecondsPerSecond - time.nanoseconds;
  }
  return time;
}

/// Undoes URL encoding, which LIBARCHIVE.xattr names have.
std::string UrlDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr ==
            text.data() + i + 3) {
      out.push_back(static_cast<char>(value));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

/// Adds the records of an extended header ("LENGTH KEY=VALUE\n" each) to `records`. A later one
/// replaces an earlier one; an empty value stays, because it cancels a global one.
Status ParseRecords(std::string_view text,
                    std::map<std::string, std::string, std::less<>>& records) {
  while (!text.empty()) {
    size_t size = 0;
    const auto [space, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    const auto digits = static_cast<size_t>(space - text.data());
    if (error != std::errc() || digits >= text.size() || *space != ' ' || size <= digits + 1 ||
        size > text.size() || text[size - 1] != '\n') {
      return MakeError(StatusCode::kDataLoss, "tar: a PAX record has a wrong length");
    }
    const std::string_view record = text.substr(digits + 1, size - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return MakeError(StatusCode::kDataLoss, "tar: a PAX record has no key");
    }
    records.insert_or_assign(std::string(record.substr(0, equals)),
                             std::string(record.substr(equals + 1)));
    text.remove_prefix(size);
  }
  return OkStatus();
}

/// Fields that every dialect has.
Status ParseCommonFields(HeaderBlock header, TarEntry& entry) {
  const std::optional<int64_t> mode = ParseNumber(Raw(header, kMode));
  const std::optional<int64_t> uid = ParseNumber(Raw(header, kUid));
  const std::optional<int64_t> gid = ParseNumber(Raw(header, kGid));
  const std::optional<int64_t> size = ParseNumber(Raw(header, kSize));
  const std::optional<int64_t> modified = ParseNumber(Raw(header, kModified));
  constexpr int64_t kMaxId = std::numeric_limits<uint32_t>::max();
  entry.name = Text(header, kName);
  if (!mode || *mode < 0) {
    return Broken(entry.name, "mode is not a number");
  }
  if (!uid || *uid < 0 || *uid > kMaxId || !gid || *gid < 0 || *gid > kMaxId) {
    return Broken(entry.name, "owner is not a number from 0 to 4294967295");
  }
  if (!size || *size < 0) {
    return Broken(entry.name, "size is not a number");
  }
  if (!modified) {
    return Broken(entry.name, "time is not a number");
  }
  entry.mode = static_cast<uint32_t>(*mode & 07777);
  entry.mode_field = static_cast<uint32_t>(*mode);
  entry.go_reads_alike = *mode <= std::numeric_limits<uint32_t>::max();
  entry.uid = static_cast<uint32_t>(*uid);
  entry.gid = static_cast<uint32_t>(*gid);
  entry.size_bytes = static_cast<uint64_t>(*size);
  entry.modified_seconds = *modified;
  entry.link_name = Text(header, kLinkName);
  return OkStatus();
}

/// Fields that the dialect, told by its magic, adds to those of version 7.
Status ParseDialectFields(HeaderBlock header, TarEntry& entry) {
  const bool gnu = Raw(header, kMagicWithVersion) == std::string_view("ustar  \0", 8);
  const bool ustar = Raw(header, kMagic) == std::string_view("ustar\0", 6);
  if (!gnu && !ustar) {
    return OkStatus();
  }
  entry.user_name = Text(header, kUserName);
  entry.group_name = Text(header, kGroupName);
  if (ustar) {
    const bool star = Raw(header, kStarTrailer) == std::string_view("tar\0", 4);
    const std::string_view prefix = Text(header, star ? kStarPrefix : kPrefix);
    if (!prefix.empty()) {
      entry.name = fmt::format("{}/{}", prefix, entry.name);
    }
    entry.go_reads_alike = entry.go_reads_alike && !star;  // it has two times more
  } else if (header[kGnuAccessed.at] != std::byte{0} || header[kGnuChanged.at] != std::byte{0}) {
    entry.go_reads_alike = false;
  }
  const char type = static_cast<char>(header[kTypeAt]);
  if (type == '3' || type == '4') {
    const std::optional<int64_t> major = ParseNumber(Raw(header, kDeviceMajor));
    const std::optional<int64_t> minor = ParseNumber(Raw(header, kDeviceMinor));
    constexpr int64_t kMax = std::numeric_limits<uint32_t>::max();
    if (!major || *major < 0 || *major > kMax || !minor || *minor < 0 || *minor > kMax) {
      return Broken(entry.name, "device is not a pair of numbers");
    }
    entry.device_major = static_cast<uint32_t>(*major);
    entry.device_minor = static_cast<uint32_t>(*minor);
  } else if (ParseNumber(Raw(header, kDeviceMajor)) != 0 ||
             ParseNumber(Raw(header, kDeviceMinor)) != 0) {
    entry.go_reads_alike = false;
  }
  return OkStatus();
}

Status ApplyId(std::string_view name, std::string_view key, std::string_view value,
               uint32_t& target) {
  const std::optional<uint64_t> id = ParseDecimal(value);
  if (!id || *id > std::numeric_limits<uint32_t>::max()) {
    return Broken(name, fmt::format("PAX {} is not a number from 0 to 4294967295", key));
  }
  target = static_cast<uint32_t>(*id);
  return OkStatus();
}

Status ApplyXattr(std::string_view key, std::string_view value, TarEntry& entry) {
  constexpr std::string_view kSchily = "SCHILY.xattr.";
  constexpr std::string_view kLibarchive = "LIBARCHIVE.xattr.";
  if (key.starts_with(kSchily)) {
    entry.xattrs.insert_or_assign(std::string(key.substr(kSchily.size())), ToBytes(value));
  } else if (key.starts_with(kLibarchive)) {
    std::optional<Bytes> decoded = Base64Decode(value);
    if (!decoded) {
      return Broken(entry.name, fmt::format("PAX {} is not base64", key));
    }
    // libarchive writes both forms; SCHILY's sorts behind, so that it replaces this one.
    entry.xattrs.emplace(UrlDecode(key.substr(kLibarchive.size())), *std::move(decoded));
    entry.go_reads_alike = false;
  }
  return OkStatus();
}

/// Puts one PAX record in the place of the header's field. Unknown keys say nothing that we use.
Status ApplyRecord(std::string_view key, std::string_view value, TarEntry& entry) {
  if (key.starts_with("GNU.sparse.")) {
    return MakeError(
        StatusCode::kUnimplemented,
        fmt::format("tar entry \"{}\" is a sparse file; write the tar without --sparse",
                    entry.name));
  }
  if (key.find(".xattr.") != std::string_view::npos) {
    return ApplyXattr(key, value, entry);
  }
  // An empty value cancels the key: the header's field counts.
  if (value.empty()) {
    return OkStatus();
  }
  if (key == "path") {
    entry.name = value;
  } else if (key == "linkpath") {
    entry.link_name = value;
  } else if (key == "uname") {
    entry.user_name = value;
  } else if (key == "gname") {
    entry.group_name = value;
  } else if (key == "uid") {
    return ApplyId(entry.name, key, value, entry.uid);
  } else if (key == "gid") {
    return ApplyId(entry.name, key, value, entry.gid);
  } else if (key == "size") {
    const std::optional<uint64_t> size = ParseDecimal(value);
    if (!size) {
      return Broken(entry.name, "PAX size is not a number");
    }
    entry.size_bytes = *size;
  } else if (key == "mtime") {
    const std::optional<TarTime> time = ParseTime(value);
    if (!time) {
      return Broken(entry.name, "PAX mtime is not a number");
    }
    entry.modified_seconds = time->seconds;
    entry.modified_nanoseconds = time->nanoseconds;
  } else if (key == "atime" || key == "ctime") {
    // Nothing that unpacks a layer sets them, so that a broken one breaks nothing.
    const std::optional<TarTime> time = ParseTime(value);
    (key == "atime" ? entry.accessed : entry.changed) = time;
    entry.go_reads_alike = entry.go_reads_alike && time.has_value();
  }
  return OkStatus();
}

bool MattersToEntry(std::string_view key) {
  constexpr std::string_view kKeys[] = {"path", "linkpath", "uname", "gname",
                                        "uid",  "gid",      "size",  "mtime"};
  return std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys) ||
         key.find(".xattr.") != std::string_view::npos || key.starts_with("GNU.sparse.");
}

StatusOr<TarType> ParseType(char type, std::string_view name) {
  switch (type) {
    case '\0':
      // Version 7 had no other mark for directories.
      return name.ends_with('/') ? TarType::kDirectory : TarType::kRegular;
    case '0':
    case '7':
      return TarType::kRegular;
    case '1':
      return TarType::kHardlink;
    case '2':
      return TarType::kSymlink;
    case '3':
      return TarType::kCharacter;
    case '4':
      return TarType::kBlock;
    case '5':
      return TarType::kDirectory;
    case '6':
      return TarType::kFifo;
    case 'S':
      return MakeError(
          StatusCode::kUnimplemented,
          fmt::format("tar entry \"{}\" is a sparse file; write the tar without --sparse", name));
    default:
      return MakeError(
          StatusCode::kUnimplemented,
          fmt::format("tar entry \"{}\" has the type '{}' (0x{:02x}), which is no file "
                      "that containerd can unpack",
                      name, type >= ' ' && type <= '~' ? type : '?',
                      static_cast<unsigned char>(type)));
  }
}

}  // namespace

TarReader::TarReader(ByteSource& tar, const TarLimits& limits)
    : tar_(tar), limits_(limits), buffer_(kBufferBytes) {}

StatusOr<std::optional<TarEntry>> TarReader::Next() {
  if (ended_) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(SkipPayload());
  Extensions extensions;
  for (;;) {
    const uint64_t header_offset = tar_offset_;
    Block block;
    ASSIGN_OR_RETURN(const bool found, ReadBlock(block));
    if (!found || IsZero(block)) {
      if (!extensions.blocks.empty()) {
        return MakeError(StatusCode::kDataLoss, "tar ends after an extended header");
      }
      RETURN_IF_ERROR(Drain(header_offset));
      return std::nullopt;
    }
    if (!ChecksumMatches(block)) {
      return MakeError(
          StatusCode::kDataLoss,
          header_offset == 0
              ? std::string("not a tar: the first header has a wrong checksum")
              : fmt::format("tar: the header at offset {} has a wrong checksum", header_offset));
    }
    const char type = static_cast<char>(block[kTypeAt]);
    if (type == 'g' && !extensions.blocks.empty()) {
      return MakeError(StatusCode::kDataLoss,
                       "tar: a global header parts an extended header from its entry");
    }
    if (type != 'x' && type != 'g' && type != 'L' && type != 'K') {
      Append(extensions.blocks, block);
      ASSIGN_OR_RETURN(TarEntry entry, MakeEntry(block, std::move(extensions)));
      payload_left_ = entry.size_bytes;
      padding_left_ = TarPadding(entry.size_bytes);
      return entry;
    }
    ASSIGN_OR_RETURN(const Bytes payload, ReadExtension(block, extensions.blocks));
    if (type == 'x') {
      RETURN_IF_ERROR(ParseRecords(AsText(payload), extensions.records));
      ++extensions.pax_headers;
    } else if (type == 'g') {
      RETURN_IF_ERROR(ParseRecords(AsText(payload), globals_));
      return TarEntry{.type = TarType::kGlobalHeader, .header = std::move(extensions.blocks)};
    } else {
      (type == 'L' ? extensions.name : extensions.link_name) = UpToNul(AsText(payload));
    }
  }
}

StatusOr<TarEntry> TarReader::MakeEntry(const Block& header, Extensions extensions) {
  TarEntry entry;
  RETURN_IF_ERROR(ParseCommonFields(header, entry));
  RETURN_IF_ERROR(ParseDialectFields(header, entry));
  // The path first, so that errors of the other records name the entry.
  Records records = std::move(extensions.records);
  for (const auto& [key, value] : globals_) {
    if (records.try_emplace(key, value).second && MattersToEntry(key)) {
      entry.uses_global_header = true;
    }
  }
  if (const auto path = records.find("path"); path != records.end()) {
    RETURN_IF_ERROR(ApplyRecord(path->first, path->second, entry));
  }
  if (extensions.name) {
    entry.name = *std::move(extensions.name);
  }
  for (const auto& [key, value] : records) {
    if (key != "path") {
      RETURN_IF_ERROR(ApplyRecord(key, value, entry));
    }
  }
  if (extensions.link_name) {
    entry.link_name = *std::move(extensions.link_name);
  }
  if (entry.name.find('\0') != std::string::npos ||
      entry.link_name.find('\0') != std::string::npos) {
    return Broken(UpToNul(entry.name), "a name has a NUL in it");
  }
  ASSIGN_OR_RETURN(entry.type, ParseType(static_cast<char>(header[kTypeAt]), entry.name));
  // Only regular files have a payload, whatever the size says: the rule of Go's archive/tar, which
  // however keeps the size. It also knows the type '7' by that name, and one extended header.
  if (entry.type != TarType::kRegular) {
    entry.go_reads_alike = entry.go_reads_alike && entry.size_bytes == 0;
    entry.size_bytes = 0;
  }
  if (static_cast<char>(header[kTypeAt]) == '7' || extensions.pax_headers > 1 ||
      entry.uses_global_header) {
    entry.go_reads_alike = false;
  }
  if (entry.size_bytes > limits_.file_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("tar entry \"{}\": {} bytes, more than the limit of {}",
                                 entry.name, entry.size_bytes, limits_.file_bytes));
  }
  entry.header = std::move(extensions.blocks);
  return entry;
}

/// Appends the header and its padded payload to `blocks`, returns the payload.
StatusOr<Bytes> TarReader::ReadExtension(const Block& header, Bytes& blocks) {
  const std::optional<int64_t> size = ParseNumber(Raw(header, kSize));
  if (!size || *size < 0) {
    return Broken(Text(header, kName), "size is not a number");
  }
  const auto size_bytes = static_cast<uint64_t>(*size);
  // Many extensions before one entry add up, so that the sum is what the limit is for.
  if (size_bytes > limits_.extension_bytes || blocks.size() > limits_.extension_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("tar: an extended header at offset {} is larger than {} bytes",
                                 tar_offset_, limits_.extension_bytes));
  }
  Append(blocks, header);
  const size_t begin = blocks.size();
  blocks.resize(begin + size_bytes + TarPadding(size_bytes));
  RETURN_IF_ERROR(ReadExactly(std::span(blocks).subspan(begin)));
  const auto payload = blocks.begin() + static_cast<ptrdiff_t>(begin);
  return Bytes(payload, payload + static_cast<ptrdiff_t>(size_bytes));
}

Status TarReader::ReadPayload(std::span<std::byte> out) {
  payload_left_ -= out.size();
  return ReadExactly(out);
}

Status TarReader::SkipPayload() {
  uint64_t left = payload_left_ + padding_left_;
  payload_left_ = 0;
  padding_left_ = 0;
  Bytes scratch(std::min<uint64_t>(left, kBufferBytes));
  while (left > 0) {
    const std::span<std::byte> part =
        std::span(scratch).first(std::min<uint64_t>(left, scratch.size()));
    RETURN_IF_ERROR(ReadExactly(part));
    left -= part.size();
  }
  return OkStatus();
}

/// False at a clean end.
StatusOr<bool> TarReader::ReadBlock(Block& block) {
  if (buffer_begin_ == buffer_end_) {
    ASSIGN_OR_RETURN(buffer_end_, tar_.Read(buffer_));
    buffer_begin_ = 0;
    if (buffer_end_ == 0) {
      return false;
    }
  }
  RETURN_IF_ERROR(ReadExactly(block));
  return true;
}

Status TarReader::ReadExactly(std::span<std::byte> out) {
  while (!out.empty()) {
    size_t count = std::min(out.size(), buffer_end_ - buffer_begin_);
    if (count > 0) {
      std::memcpy(out.data(), buffer_.data() + buffer_begin_, count);
      buffer_begin_ += count;
    } else if (out.size() >= buffer_.size()) {
      ASSIGN_OR_RETURN(count, tar_.Read(out));
    } else {
      ASSIGN_OR_RETURN(buffer_end_, tar_.Read(buffer_));
      buffer_begin_ = 0;
      if (buffer_end_ > 0) {
        continue;
      }
    }
    if (count == 0) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("tar ends too early, at offset {}", tar_offset_));
    }
    tar_offset_ += count;
    out = out.subspan(count);
  }
  return OkStatus();
}

/// Reads the rest of a tar whose entries end at `end_offset`.
Status TarReader::Drain(uint64_t end_offset) {
  ended_ = true;
  Block block;
  ASSIGN_OR_RETURN(const bool found, ReadBlock(block));
  if (found && !IsZero(block)) {
    return MakeError(StatusCode::kDataLoss, "tar: a lone zero block between entries");
  }
  bool is_zero = true;
  for (;;) {
    const ByteSpan rest = ByteSpan(buffer_).subspan(buffer_begin_, buffer_end_ - buffer_begin_);
    is_zero = is_zero && IsZero(rest);
    tar_offset_ += rest.size();
    buffer_begin_ = 0;
    ASSIGN_OR_RETURN(buffer_end_, tar_.Read(buffer_));
    if (buffer_end_ == 0) {
      zeros_at_end_ = is_zero ? tar_offset_ - end_offset : 0;
      return OkStatus();
    }
  }
}

}  // namespace starling::estargz
