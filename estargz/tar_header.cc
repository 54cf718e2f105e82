#include "estargz/tar_header.h"

#include <algorithm>
#include <map>
#include <string>

#include "estargz/tar_layout.h"

namespace starling::estargz {
namespace {

using namespace tar_layout;

constexpr char kPaxType = 'x';

/// What fits a field of octal digits with an end mark.
constexpr uint64_t MaxOctal(Field field) { return (1ULL << (3 * (field.size - 1))) - 1; }

char TypeOf(TarType type) {
  switch (type) {
    case TarType::kRegular:
      return '0';
    case TarType::kHardlink:
      return '1';
    case TarType::kSymlink:
      return '2';
    case TarType::kCharacter:
      return '3';
    case TarType::kBlock:
      return '4';
    case TarType::kDirectory:
      return '5';
    case TarType::kFifo:
      return '6';
    case TarType::kGlobalHeader:
      break;
  }
  return 'g';
}

/// One header block. What is put must fit its field.
class Block {
 public:
  explicit Block(char type) {
    Put(kMagicWithVersion, std::string_view("ustar\00000", 8));
    header_[kTypeAt] = type;
  }
  void Put(Field field, std::string_view text) { header_.replace(field.at, text.size(), text); }
  void PutOctal(Field field, uint64_t number) {
    Put(field, fmt::format("{:0{}o}", number, field.size - 1));
  }
  Bytes Finish() {
    Put(kChecksum, "        ");
    unsigned sum = 0;
    for (const char c : header_) {
      sum += static_cast<unsigned char>(c);
    }
    Put(kChecksum, fmt::format("{:06o}", sum) + '\0');
    return ToBytes(header_);
  }

 private:
  std::string header_ = std::string(kTarBlockBytes, '\0');
};

using Records = std::map<std::string, std::string>;

/// A record begins with its own length, the digits of which count, too.
std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest_bytes = key.size() + value.size() + 3;  // a space, '=' and the end of line
  size_t size_bytes = rest_bytes;
  for (size_t longer = 0; longer != size_bytes;) {
    longer = size_bytes;
    size_bytes = rest_bytes + fmt::formatted_size("{}", size_bytes);
  }
  return fmt::format("{} {}={}\n", size_bytes, key, value);
}

bool IsPlain(std::string_view text, Field field) {
  return text.size() <= field.size &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// The field's text, or nothing and a record instead.
std::string_view Fit(std::string_view text, Field field, const char* key, Records& records) {
  if (IsPlain(text, field)) {
    return text;
  }
  records[key] = text;
  return {};
}

uint64_t Fit(uint64_t number, Field field, const char* key, Records& records) {
  if (number <= MaxOctal(field)) {
    return number;
  }
  records[key] = fmt::format("{}", number);
  return 0;
}

/// A time before 1970 has no octal digits either.
uint64_t FitTime(int64_t seconds, Records& records) {
  if (seconds >= 0 && static_cast<uint64_t>(seconds) <= MaxOctal(kModified)) {
    return static_cast<uint64_t>(seconds);
  }
  records["mtime"] = fmt::format("{}", seconds);
  return 0;
}

Status CheckTexts(const TarEntry& entry) {
  const auto has_nul = [](std::string_view text) { return text.find('\0') != text.npos; };
  if (entry.name.empty() || has_nul(entry.name) || has_nul(entry.link_name)) {
    return MakeError(StatusCode::kInvalidArgument, "tar: an entry has a name that no file has");
  }
  for (const auto& [name, value] : entry.xattrs) {
    if (name.empty() || has_nul(name) || name.find('=') != std::string::npos) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("tar entry \"{}\": the extended attribute \"{}\" cannot be "
                                   "written to a tar; remove it",
                                   entry.name, name));
    }
  }
  return OkStatus();
}

/// The blocks that hold `records`, or none.
Bytes PaxBlocks(const Records& records) {
  if (records.empty()) {
    return {};
  }
  std::string payload;
  for (const auto& [key, value] : records) {
    payload += PaxRecord(key, value);
  }
  Block block(kPaxType);
  block.Put(kName, "PaxHeaders.0");
  block.PutOctal(kMode, 0644);
  block.PutOctal(kUid, 0);
  block.PutOctal(kGid, 0);
  block.PutOctal(kSize, payload.size());
  block.PutOctal(kModified, 0);
  Bytes blocks = block.Finish();
  Append(blocks, AsBytes(payload));
  blocks.resize(blocks.size() + TarPadding(payload.size()));
  return blocks;
}

}  // namespace

StatusOr<Bytes> MakeTarHeader(const TarEntry& entry) {
  RETURN_IF_ERROR(CheckTexts(entry));
  Records records;
  for (const auto& [name, value] : entry.xattrs) {
    records["SCHILY.xattr." + name] = AsText(value);
  }
  Block block(TypeOf(entry.type));
  block.Put(kName, Fit(entry.name, kName, "path", records));
  block.PutOctal(kMode, entry.mode);
  block.PutOctal(kUid, Fit(entry.uid, kUid, "uid", records));
  block.PutOctal(kGid, Fit(entry.gid, kGid, "gid", records));
  block.PutOctal(kSize, Fit(entry.size_bytes, kSize, "size", records));
  block.PutOctal(kModified, FitTime(entry.modified_seconds, records));
  block.Put(kLinkName, Fit(entry.link_name, kLinkName, "linkpath", records));
  if (entry.type == TarType::kCharacter || entry.type == TarType::kBlock) {
    if (entry.device_major > MaxOctal(kDeviceMajor) ||
        entry.device_minor > MaxOctal(kDeviceMinor)) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("tar entry \"{}\": a device number {}:{} fits no tar",
                                   entry.name, entry.device_major, entry.device_minor));
    }
    block.PutOctal(kDeviceMajor, entry.device_major);
    block.PutOctal(kDeviceMinor, entry.device_minor);
  }
  Bytes blocks = PaxBlocks(records);
  Append(blocks, block.Finish());
  return blocks;
}

Bytes MakeTarHeader(std::string_view name, uint64_t size_bytes) {
  Block block('0');
  block.Put(kName, name.substr(0, kName.size));
  block.PutOctal(kMode, 0444);
  block.PutOctal(kUid, 0);
  block.PutOctal(kGid, 0);
  block.PutOctal(kSize, size_bytes);
  block.PutOctal(kModified, 0);
  return block.Finish();
}

}  // namespace starling::estargz
