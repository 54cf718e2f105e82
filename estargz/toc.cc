#include "estargz/toc.h"

#include <simdjson.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>

#include "base/hex.h"
#include "base/timestamp.h"
#include "estargz/gzip_member.h"
#include "estargz/zstd_frame.h"

namespace starling::estargz {
namespace {

namespace json = simdjson::ondemand;

constexpr size_t kTarBlockBytes = 512;
// The shortest entry of a real TOC; only decides how much memory is reserved in advance.
constexpr size_t kTypicalEntryBytes = 256;
constexpr uint32_t kModeBits = 07777;
constexpr std::string_view kZerosType = "zeros";
// (uid_t)-1 means "leave as it is" to chown(2): nobody can own a file with it.
constexpr uint64_t kMaxOwner = 0xfffffffe;
// Source: Linux kdev_t.h, 12 bits of major and 20 of minor number.
constexpr uint64_t kMaxDeviceMajor = (1U << 12) - 1;
constexpr uint64_t kMaxDeviceMinor = (1U << 20) - 1;

Status Broken(std::string_view how) {
  return MakeError(StatusCode::kDataLoss, fmt::format("TOC: {}", how));
}

/// An octal field of a tar header: digits, then NULs or spaces.
std::optional<uint64_t> ParseOctal(std::string_view field) {
  uint64_t value = 0;
  size_t i = field.find_first_not_of(' ');
  if (i == std::string_view::npos) {
    return std::nullopt;
  }
  const size_t first = i;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) {
    value = value << 3 | static_cast<uint64_t>(field[i] - '0');
  }
  if (i == first ||
      field.find_first_not_of(std::string_view("\0 ", 2), i) != std::string_view::npos) {
    return std::nullopt;
  }
  return value;
}

/// The size of the TOC from the tar header in front of it.
/// Source: POSIX.1-2001 ustar: name 100, size 12 at 124, checksum 8 at 148, type at 156.
StatusOr<uint64_t> ParseTarHeader(std::string_view block) {
  uint64_t sum = 8 * ' ';
  for (size_t i = 0; i < block.size(); ++i) {
    sum += i >= 148 && i < 156 ? 0 : static_cast<unsigned char>(block[i]);
  }
  if (ParseOctal(block.substr(148, 8)) != sum) {
    return Broken("the member holds no tar");
  }
  const std::string_view name = block.substr(0, std::min<size_t>(100, block.find('\0')));
  const char type = block[156];
  if (name != kTocName || (type != '0' && type != '\0')) {
    return Broken(fmt::format("the member's first file is not {}", kTocName));
  }
  const std::optional<uint64_t> size_bytes = ParseOctal(block.substr(124, 12));
  if (!size_bytes) {
    return Broken("the tar header has a broken size");
  }
  return *size_bytes;
}

enum class Field {
  kIgnored,
  kName,
  kNameBytes,
  kType,
  kSize,
  kModified,
  kLinkName,
  kLinkNameBytes,
  kMode,
  kUid,
  kGid,
  kOffset,
  kInnerOffset,
  kDeviceMajor,
  kDeviceMinor,
  kXattrs,
  kDigest,
  kChunkOffset,
  kChunkSize,
  kChunkDigest,
  kChunkType,
};

Field FieldOf(std::string_view key) {
  // By length first: at most four comparisons for each of half a million keys.
  switch (key.size()) {
    case 3:
      return key == "uid" ? Field::kUid : key == "gid" ? Field::kGid : Field::kIgnored;
    case 4:
      return key == "name"   ? Field::kName
             : key == "type" ? Field::kType
             : key == "size" ? Field::kSize
             : key == "mode" ? Field::kMode
                             : Field::kIgnored;
    case 6:
      return key == "offset"   ? Field::kOffset
             : key == "digest" ? Field::kDigest
             : key == "xattrs" ? Field::kXattrs
                               : Field::kIgnored;
    case 7:
      return key == "modtime" ? Field::kModified : Field::kIgnored;
    case 8:
      return key == "linkName"   ? Field::kLinkName
             : key == "devMajor" ? Field::kDeviceMajor
             : key == "devMinor" ? Field::kDeviceMinor
                                 : Field::kIgnored;
    case 9:
      return key == "chunkSize"   ? Field::kChunkSize
             : key == "chunkType" ? Field::kChunkType
                                  : Field::kIgnored;
    case 11:
      return key == "chunkDigest"   ? Field::kChunkDigest
             : key == "chunkOffset" ? Field::kChunkOffset
             : key == "innerOffset" ? Field::kInnerOffset
                                    : Field::kIgnored;
    case 10:
      return key == "nameBase64" ? Field::kNameBytes : Field::kIgnored;
    case 14:
      return key == "linkNameBase64" ? Field::kLinkNameBytes : Field::kIgnored;
    default:
      return Field::kIgnored;
  }
}

std::optional<EntryType> ParseType(std::string_view text) {
  constexpr struct {
    std::string_view text;
    EntryType type;
  } kTypes[] = {
      {"reg", EntryType::kRegular},     {"dir", EntryType::kDirectory},
      {"symlink", EntryType::kSymlink}, {"hardlink", EntryType::kHardlink},
      {"chunk", EntryType::kChunk},     {"char", EntryType::kCharacter},
      {"block", EntryType::kBlock},     {"fifo", EntryType::kFifo},
  };
  for (const auto& candidate : kTypes) {
    if (candidate.text == text) {
      return candidate.type;
    }
  }
  return std::nullopt;
}

/// "sha256:" and 64 lower-case digits. Own code because a TOC has two for each file and
/// oci::Digest::Parse allocates.
std::optional<oci::Digest> ParseDigest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (text.size() != kPrefix.size() + 2 * oci::Digest::kBytes || !text.starts_with(kPrefix)) {
    return std::nullopt;
  }
  constexpr auto kNibbles = [] {
    std::array<uint8_t, 256> table{};
    table.fill(0xff);
    for (unsigned i = 0; i < 16; ++i) {
      table[static_cast<unsigned char>("0123456789abcdef"[i])] = static_cast<uint8_t>(i);
    }
    return table;
  }();
  oci::Digest::Value value;
  unsigned bad = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    const unsigned high = kNibbles[static_cast<unsigned char>(text[kPrefix.size() + 2 * i])];
    const unsigned low = kNibbles[static_cast<unsigned char>(text[kPrefix.size() + 2 * i + 1])];
    bad |= high | low;
    value[i] = static_cast<std::byte>((high << 4 | low) & 0xff);
  }
  if (bad > 15) {
    return std::nullopt;
  }
  return oci::Digest(value);
}

/// Null counts as absent: Go writes it for empty slices and reads it so.
bool IsNull(json::value& value) {
  bool null = false;
  return value.is_null().get(null) == simdjson::SUCCESS && null;
}

/// What the texts of a Toc's entries point into.
struct Texts {
  json::parser parser;
  std::deque<Bytes> decoded;
};

/// Reads one document. On-demand parsing visits each byte once, so fields come in their order.
class TocReader {
 public:
  TocReader(Texts& texts, const TocLimits& limits) : texts_(texts), limits_(limits) {}

  StatusOr<std::vector<TocEntry>> Read(ByteSpan text, size_t capacity);

 private:
  Status ReadTop(json::document& document);
  Status ReadEntries(json::value value);
  Status ReadEntry(json::object object, TocEntry& entry);
  Status ReadField(Field field, json::value value, TocEntry& entry);
  Status ReadType(json::value value, TocEntry& entry);
  Status ReadChunkType(json::value value, TocEntry& entry);
  Status ReadModified(json::value value, TocEntry& entry);
  Status ReadDigest(json::value value, oci::Digest& out);
  Status ReadXattrs(json::value value, TocEntry& entry);
  static Status ReadText(json::value value, std::string_view& out);
  Status ReadPath(json::value value, std::string_view& out);
  Status ReadPathBytes(json::value value, std::string_view& out);
  Status CheckPath(std::string_view path) const;
  static Status ReadNumber(json::value value, uint64_t most, uint64_t& out);
  static Status ReadNumber(json::value value, uint64_t most, uint32_t& out);

  Texts& texts_;
  const TocLimits& limits_;
  std::vector<TocEntry> entries_;
  // Of the current entry.
  bool has_type_ = false;
  std::string_view name_bytes_;
  std::string_view link_name_bytes_;
  std::string_view last_digest_text_;  // a file of one chunk names the same digest twice
  oci::Digest last_digest_;
};

StatusOr<std::vector<TocEntry>> TocReader::Read(ByteSpan text, size_t capacity) {
  json::document document;
  if (const auto error =
          texts_.parser.iterate(AsText(text).data(), text.size(), capacity).get(document)) {
    return Broken(simdjson::error_message(error));
  }
  entries_.reserve(std::min<uint64_t>(limits_.entries, text.size() / kTypicalEntryBytes + 1));
  RETURN_IF_ERROR(ReadTop(document));
  // The location of what comes next exists only when something does.
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return Broken("bytes behind the JSON document");
  }
  return std::move(entries_);
}

Status TocReader::ReadTop(json::document& document) {
  json::object top;
  if (const auto error = document.get_object().get(top)) {
    return Broken(fmt::format("not a JSON object: {}", simdjson::error_message(error)));
  }
  bool has_entries = false;
  for (auto result : top) {
    json::field field;
    std::string_view key;
    if (const auto error = std::move(result).get(field)) {
      return Broken(simdjson::error_message(error));
    }
    if (const auto error = field.unescaped_key().get(key)) {
      return Broken(simdjson::error_message(error));
    }
    if (key == "version") {
      // Known versions differ in nothing that is read here; a later one might.
      uint64_t version = 0;
      const Status status = ReadNumber(field.value(), 1, version);
      if (!status.ok()) {
        return Annotate(status, "TOC: version");
      }
    } else if (key == "entries") {
      if (has_entries) {
        return Broken("two lists of entries");
      }
      has_entries = true;
      RETURN_IF_ERROR(ReadEntries(field.value()));
    }
  }
  return has_entries ? OkStatus() : Broken("no list of entries");
}

Status TocReader::ReadEntries(json::value value) {
  json::array array;
  if (const auto error = value.get_array().get(array)) {
    if (error == simdjson::INCORRECT_TYPE && IsNull(value)) {
      return OkStatus();
    }
    return Broken(fmt::format("entries: {}", simdjson::error_message(error)));
  }
  for (auto result : array) {
    const size_t number = entries_.size();
    if (number >= limits_.entries) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("TOC: more than {} entries", limits_.entries));
    }
    json::object object;
    if (const auto error = std::move(result).get_object().get(object)) {
      return Broken(fmt::format("entry {}: {}", number, simdjson::error_message(error)));
    }
    const Status status = ReadEntry(object, entries_.emplace_back());
    if (!status.ok()) {
      return Annotate(status, fmt::format("TOC: entry {}", number));
    }
  }
  return OkStatus();
}

Status TocReader::ReadEntry(json::object object, TocEntry& entry) {
  has_type_ = false;
  name_bytes_ = {};
  link_name_bytes_ = {};
  for (auto result : object) {
    json::field field;
    std::string_view key;
    if (const auto error = std::move(result).get(field)) {
      return MakeError(StatusCode::kDataLoss, simdjson::error_message(error));
    }
    if (const auto error = field.unescaped_key().get(key)) {
      return MakeError(StatusCode::kDataLoss, simdjson::error_message(error));
    }
    const Field known = FieldOf(key);
    if (known == Field::kIgnored) {
      continue;
    }
    const Status status = ReadField(known, field.value(), entry);
    if (!status.ok()) {
      return Annotate(status, key);
    }
  }
  if (!has_type_) {
    return MakeError(StatusCode::kDataLoss, "no type");
  }
  if (!name_bytes_.empty()) {
    entry.name = name_bytes_;
  }
  if (!link_name_bytes_.empty()) {
    entry.link_name = link_name_bytes_;
  }
  return OkStatus();
}

Status TocReader::ReadField(Field field, json::value value, TocEntry& entry) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  switch (field) {
    case Field::kIgnored:
      return OkStatus();
    case Field::kName:
      return ReadPath(value, entry.name);
    case Field::kNameBytes:
      return ReadPathBytes(value, name_bytes_);
    case Field::kType:
      return ReadType(value, entry);
    case Field::kSize:
      return ReadNumber(value, kMost, entry.size_bytes);
    case Field::kModified:
      return ReadModified(value, entry);
    case Field::kLinkName:
      return ReadPath(value, entry.link_name);
    case Field::kLinkNameBytes:
      return ReadPathBytes(value, link_name_bytes_);
    case Field::kMode: {
      uint64_t mode = entry.mode;
      RETURN_IF_ERROR(ReadNumber(value, kMost, mode));
      // Old tars carry the file type here; ours comes from "type".
      entry.mode = static_cast<uint32_t>(mode & kModeBits);
      return OkStatus();
    }
    case Field::kUid:
      return ReadNumber(value, kMaxOwner, entry.uid);
    case Field::kGid:
      return ReadNumber(value, kMaxOwner, entry.gid);
    case Field::kOffset:
      return ReadNumber(value, kMost, entry.blob_offset);
    case Field::kInnerOffset:
      return ReadNumber(value, kMost, entry.inner_offset);
    case Field::kDeviceMajor:
      return ReadNumber(value, kMaxDeviceMajor, entry.device_major);
    case Field::kDeviceMinor:
      return ReadNumber(value, kMaxDeviceMinor, entry.device_minor);
    case Field::kXattrs:
      return ReadXattrs(value, entry);
    case Field::kDigest:
      return ReadDigest(value, entry.digest);
    case Field::kChunkOffset:
      return ReadNumber(value, kMost, entry.chunk_offset);
    case Field::kChunkSize:
      return ReadNumber(value, kMost, entry.chunk_size_bytes);
    case Field::kChunkDigest:
      return ReadDigest(value, entry.chunk_digest);
    case Field::kChunkType:
      return ReadChunkType(value, entry);
  }
  return OkStatus();
}

Status TocReader::ReadType(json::value value, TocEntry& entry) {
  std::string_view text;
  RETURN_IF_ERROR(ReadText(value, text));
  const std::optional<EntryType> type = ParseType(text);
  if (!type) {
    return MakeError(StatusCode::kDataLoss, fmt::format("\"{}\" is unknown", text.substr(0, 100)));
  }
  entry.type = *type;
  has_type_ = true;
  return OkStatus();
}

Status TocReader::ReadChunkType(json::value value, TocEntry& entry) {
  std::string_view text;
  RETURN_IF_ERROR(ReadText(value, text));
  if (!text.empty() && text != kZerosType) {
    return MakeError(StatusCode::kDataLoss, fmt::format("\"{}\" is unknown", text.substr(0, 100)));
  }
  entry.is_zeros = text == kZerosType;
  return OkStatus();
}

Status TocReader::ReadModified(json::value value, TocEntry& entry) {
  std::string_view text;
  RETURN_IF_ERROR(ReadText(value, text));
  if (text.empty()) {
    entry.modified_seconds = 0;
    return OkStatus();
  }
  const std::optional<int64_t> seconds = ParseTimestamp(text);
  if (!seconds) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("\"{}\" is not a time of RFC 3339", text.substr(0, 100)));
  }
  entry.modified_seconds = *seconds;
  return OkStatus();
}

Status TocReader::ReadDigest(json::value value, oci::Digest& out) {
  std::string_view text;
  RETURN_IF_ERROR(ReadText(value, text));
  if (text.empty()) {
    out = {};
    return OkStatus();
  }
  if (text != last_digest_text_) {
    const std::optional<oci::Digest> digest = ParseDigest(text);
    // All zeros would read as "absent" further down; no content has this digest anyway.
    if (!digest || digest->empty()) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("\"{}\" is not a SHA-256 digest", text.substr(0, 100)));
    }
    last_digest_text_ = text;
    last_digest_ = *digest;
  }
  out = last_digest_;
  return OkStatus();
}

Status TocReader::ReadXattrs(json::value value, TocEntry& entry) {
  entry.xattrs.clear();
  json::object object;
  if (const auto error = value.get_object().get(object)) {
    return error == simdjson::INCORRECT_TYPE && IsNull(value)
               ? OkStatus()
               : MakeError(StatusCode::kDataLoss, simdjson::error_message(error));
  }
  for (auto result : object) {
    json::field field;
    TocXattr xattr;
    if (const auto error = std::move(result).get(field)) {
      return MakeError(StatusCode::kDataLoss, simdjson::error_message(error));
    }
    if (const auto error = field.unescaped_key().get(xattr.name)) {
      return MakeError(StatusCode::kDataLoss, simdjson::error_message(error));
    }
    if (xattr.name.empty() || xattr.name.find('\0') != std::string_view::npos) {
      return MakeError(StatusCode::kDataLoss, "impossible name");
    }
    std::string_view text;
    RETURN_IF_ERROR(ReadText(field.value(), text));
    std::optional<Bytes> bytes = Base64Decode(text);
    if (!bytes) {
      return MakeError(StatusCode::kDataLoss, "a value is not base64");
    }
    if (xattr.name.size() > limits_.xattr_name_bytes || bytes->size() > limits_.xattr_value_bytes ||
        entry.xattrs.size() >= limits_.xattrs_per_inode) {
      return MakeError(
          StatusCode::kResourceExhausted,
          fmt::format("more than {} attributes, {} bytes of a name or {} bytes of a value",
                      limits_.xattrs_per_inode, limits_.xattr_name_bytes,
                      limits_.xattr_value_bytes));
    }
    xattr.value = *std::move(bytes);
    // Sorted insertion: there are a handful. The last value of a name counts.
    const auto at = std::ranges::lower_bound(entry.xattrs, xattr.name, {}, &TocXattr::name);
    if (at != entry.xattrs.end() && at->name == xattr.name) {
      at->value = std::move(xattr.value);
    } else {
      entry.xattrs.insert(at, std::move(xattr));
    }
  }
  return OkStatus();
}

Status TocReader::ReadText(json::value value, std::string_view& out) {
  if (const auto error = value.get_string().get(out)) {
    out = {};
    return error == simdjson::INCORRECT_TYPE && IsNull(value)
               ? OkStatus()
               : MakeError(StatusCode::kDataLoss, simdjson::error_message(error));
  }
  return OkStatus();
}

Status TocReader::ReadPath(json::value value, std::string_view& out) {
  RETURN_IF_ERROR(ReadText(value, out));
  return CheckPath(out);
}

Status TocReader::ReadPathBytes(json::value value, std::string_view& out) {
  std::string_view text;
  RETURN_IF_ERROR(ReadText(value, text));
  std::optional<Bytes> bytes = Base64Decode(text);
  // For a name that JSON can carry there must not be two versions to choose from.
  if (!bytes || (!bytes->empty() && simdjson::validate_utf8(AsText(*bytes)))) {
    return MakeError(StatusCode::kDataLoss, "not the base64 of a name outside UTF-8");
  }
  out = AsText(texts_.decoded.emplace_back(*std::move(bytes)));
  return CheckPath(out);
}

Status TocReader::CheckPath(std::string_view path) const {
  if (path.size() > limits_.name_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("longer than {} bytes", limits_.name_bytes));
  }
  // The kernel could never look such a name up.
  if (path.find('\0') != std::string_view::npos) {
    return MakeError(StatusCode::kDataLoss, "contains NUL");
  }
  return OkStatus();
}

Status TocReader::ReadNumber(json::value value, uint64_t most, uint64_t& out) {
  uint64_t number = 0;
  if (const auto error = value.get_uint64().get(number)) {
    return error == simdjson::INCORRECT_TYPE && IsNull(value)
               ? OkStatus()
               : MakeError(StatusCode::kDataLoss, fmt::format("not a whole number from 0: {}",
                                                              simdjson::error_message(error)));
  }
  if (number > most) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{} is more than {}", number, most));
  }
  out = number;
  return OkStatus();
}

Status TocReader::ReadNumber(json::value value, uint64_t most, uint32_t& out) {
  uint64_t number = out;
  RETURN_IF_ERROR(ReadNumber(value, most, number));
  out = static_cast<uint32_t>(number);
  return OkStatus();
}

}  // namespace

StatusOr<TocJson> ExtractToc(ByteSpan member, const TocLimits& limits) {
  if (member.size() > limits.compressed_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("TOC: {} compressed bytes are more than the limit of {}",
                                 member.size(), limits.compressed_bytes));
  }
  // Around the JSON: its header, padding, and at least two blocks that end the tar.
  constexpr uint64_t kTarBytes = 64 << 10;
  StatusOr<Bytes> tar = GzipInflater().InflateAll(member, limits.json_bytes + kTarBytes);
  if (!tar.ok()) {
    return Annotate(tar.status(), "TOC");
  }
  if (tar->size() < kTarBlockBytes) {
    return Broken("the member holds no tar");
  }
  ASSIGN_OR_RETURN(const uint64_t json_bytes,
                   ParseTarHeader(AsText(ByteSpan(*tar).first(kTarBlockBytes))));
  if (json_bytes > limits.json_bytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("TOC: {} bytes are more than the limit of {}", json_bytes, limits.json_bytes));
  }
  if (json_bytes > tar->size() - kTarBlockBytes) {
    return Broken("the tar is cut off");
  }
  // Whatever followed would be part of the layer for everyone who unpacks it, but not for us.
  const auto rest = ByteSpan(*tar).subspan(kTarBlockBytes + json_bytes);
  if (std::ranges::any_of(rest, [](std::byte byte) { return byte != std::byte{0}; })) {
    return Broken("the TOC is not the last file of the layer");
  }
  TocJson result;
  result.storage = *std::move(tar);
  result.storage.resize(std::max<size_t>(result.storage.size(),
                                         kTarBlockBytes + json_bytes + simdjson::SIMDJSON_PADDING));
  result.json = ByteSpan(result.storage).subspan(kTarBlockBytes, json_bytes);
  result.digest = oci::Digest::Of(result.json);
  return result;
}

StatusOr<TocJson> ExtractZstdToc(ByteSpan frames, uint64_t json_bytes, const TocLimits& limits) {
  if (frames.size() > limits.compressed_bytes || json_bytes > limits.json_bytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("TOC: {} bytes, {} compressed, are more than the limits of {} and "
                    "{}",
                    json_bytes, frames.size(), limits.json_bytes, limits.compressed_bytes));
  }
  // Before the memory is taken: a footer claims whatever it likes.
  if (json_bytes / kMaxZstdRatio > frames.size()) {
    return Broken("too short for what it should hold");
  }
  TocJson result;
  result.storage.resize(json_bytes + simdjson::SIMDJSON_PADDING);
  const std::span<std::byte> json = std::span(result.storage).first(json_bytes);
  RETURN_IF_ERROR(Annotate(ZstdDecoder().DecodeAll(frames, json), "TOC"));
  result.json = json;
  result.digest = oci::Digest::Of(result.json);
  return result;
}

StatusOr<Toc> Toc::Parse(const TocJson& toc, const TocLimits& limits) {
  const auto readable =
      static_cast<size_t>(toc.storage.data() + toc.storage.size() - toc.json.data());
  if (toc.json.size() > limits.json_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("TOC: more than {} bytes", limits.json_bytes));
  }
  const auto texts = std::make_shared<Texts>();
  ASSIGN_OR_RETURN(std::vector<TocEntry> entries,
                   TocReader(*texts, limits).Read(toc.json, readable));
  Toc result;
  result.entries_ = std::move(entries);
  result.storage_ = texts;
  return result;
}

StatusOr<Toc> Toc::Parse(ByteSpan text, const TocLimits& limits) {
  if (text.size() > limits.json_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("TOC: more than {} bytes", limits.json_bytes));
  }
  TocJson padded;
  padded.storage.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  padded.storage.assign(text.begin(), text.end());
  padded.storage.resize(text.size() + simdjson::SIMDJSON_PADDING);
  padded.json = ByteSpan(padded.storage).first(text.size());
  return Parse(padded, limits);
}

void Toc::JoinMembers(const std::function<uint64_t(uint64_t blob_offset)>& tar_offset_of) {
  for (TocEntry& entry : entries_) {
    const bool has_content = entry.size_bytes > 0 && entry.type == EntryType::kRegular;
    if (has_content || entry.type == EntryType::kChunk) {
      entry.inner_offset += tar_offset_of(entry.blob_offset);
      entry.blob_offset = 0;
    }
  }
}

}  // namespace starling::estargz
