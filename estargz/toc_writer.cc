#include "estargz/toc_writer.h"

#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/hex.h"

namespace starling::estargz {
namespace {

bool IsUtf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

void AppendString(std::string& json, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
  if (plain) {
    json += '"';
    json += text;
    json += '"';
    return;
  }
  using Json = nlohmann::json;
  json += Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void AppendKey(std::string& json, std::string_view key) {
  json += ",\"";
  json += key;
  json += "\":";
}

void AppendText(std::string& json, std::string_view key, std::string_view text) {
  AppendKey(json, key);
  AppendString(json, text);
}

/// Zero is what an absent number means.
void AppendNumber(std::string& json, std::string_view key, uint64_t number) {
  if (number != 0) {
    AppendKey(json, key);
    json += std::to_string(number);
  }
}

/// A name, and its bytes when they are no UTF-8.
void AppendName(std::string& json, std::string_view key, std::string_view name) {
  AppendText(json, key, name);
  if (!IsUtf8(name)) {
    AppendText(json, fmt::format("{}Base64", key), Base64Encode(AsBytes(name)));
  }
}

/// RFC 3339 has four digits for the year: times outside are moved to its ends.
std::string FormatTime(int64_t seconds) {
  using std::chrono::days;
  using std::chrono::sys_days;
  constexpr int64_t kFirst = -62'167'219'200;  // 0000-01-01T00:00:00Z
  constexpr int64_t kLast = 253'402'300'799;   // 9999-12-31T23:59:59Z
  const std::chrono::sys_seconds time(std::chrono::seconds(std::clamp(seconds, kFirst, kLast)));
  const sys_days day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string_view TypeName(TarType type) {
  switch (type) {
    case TarType::kRegular:
      return "reg";
    case TarType::kHardlink:
      return "hardlink";
    case TarType::kSymlink:
      return "symlink";
    case TarType::kCharacter:
      return "char";
    case TarType::kBlock:
      return "block";
    case TarType::kDirectory:
      return "dir";
    case TarType::kFifo:
      return "fifo";
    case TarType::kGlobalHeader:
      break;
  }
  return "";
}

Status TooMuch(std::string_view name, std::string_view what) {
  return MakeError(StatusCode::kResourceExhausted, fmt::format("tar entry \"{}\": {}", name, what));
}

Status CheckName(std::string_view name, const TocLimits& limits) {
  size_t depth = 0;
  size_t component_bytes = 0;
  for (const char c : name) {
    component_bytes = c == '/' ? 0 : component_bytes + 1;
    depth += component_bytes == 1 ? 1 : 0;
    if (component_bytes > limits.component_bytes) {
      return TooMuch(name, fmt::format("a component of the name is longer than {} bytes",
                                       limits.component_bytes));
    }
  }
  if (name.size() >= limits.name_bytes || depth > limits.depth) {
    return TooMuch(name.substr(0, limits.component_bytes), "the name is too long");
  }
  return OkStatus();
}

Status CheckXattrs(const TarEntry& entry, const TocLimits& limits) {
  if (entry.xattrs.size() > limits.xattrs_per_inode) {
    return TooMuch(entry.name, fmt::format("more than {} xattrs", limits.xattrs_per_inode));
  }
  for (const auto& [name, value] : entry.xattrs) {
    if (name.empty() || name.size() > limits.xattr_name_bytes || !IsUtf8(name) ||
        name.find('\0') != std::string::npos) {
      return TooMuch(entry.name, fmt::format("the name of an xattr is not 1 to {} bytes of UTF-8",
                                             limits.xattr_name_bytes));
    }
    if (value.size() > limits.xattr_value_bytes) {
      return TooMuch(entry.name, fmt::format("xattr {} has more than {} bytes", name,
                                             limits.xattr_value_bytes));
    }
  }
  return OkStatus();
}

}  // namespace

std::string CleanName(std::string_view name) {
  std::string clean;
  while (!name.empty()) {
    const size_t slash = name.find('/');
    const std::string_view component = name.substr(0, slash);
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
    if (component == "..") {
      const size_t parent_end = clean.rfind('/');
      clean.resize(parent_end == std::string::npos ? 0 : parent_end);
    } else if (!component.empty() && component != ".") {
      clean += clean.empty() ? "" : "/";
      clean += component;
    }
  }
  return clean;
}

void TocWriter::AppendOwner(const TarEntry& entry) {
  const auto append = [this](std::string_view key, uint32_t id, const std::string& name,
                             std::unordered_map<uint32_t, std::string>& known) {
    if (name.empty()) {
      return;
    }
    if (std::string& last = known[id]; last != name) {
      last = name;
      AppendText(json_, key, name);
    }
  };
  AppendNumber(json_, "uid", entry.uid);
  AppendNumber(json_, "gid", entry.gid);
  append("userName", entry.uid, entry.user_name, user_names_);
  append("groupName", entry.gid, entry.group_name, group_names_);
}

/// Writes what all kinds have; the object stays open.
Status TocWriter::BeginEntry(const TarEntry& entry, const std::string& name) {
  if (++entries_ > limits_.entries) {
    return TooMuch(entry.name, fmt::format("the layer has more than {} entries", limits_.entries));
  }
  RETURN_IF_ERROR(CheckName(name, limits_));
  RETURN_IF_ERROR(CheckXattrs(entry, limits_));
  json_ += entries_ == 1 ? "{\"type\":\"" : ",{\"type\":\"";
  json_ += TypeName(entry.type);
  json_ += '"';
  AppendName(json_, "name", name);
  AppendNumber(json_, "size", entry.size_bytes);
  if (entry.modified_seconds != 0) {
    AppendText(json_, "modtime", FormatTime(entry.modified_seconds));
  }
  AppendNumber(json_, "mode", entry.mode);
  AppendOwner(entry);
  AppendNumber(json_, "devMajor", entry.device_major);
  AppendNumber(json_, "devMinor", entry.device_minor);
  if (!entry.xattrs.empty()) {
    AppendKey(json_, "xattrs");
    char separator = '{';
    for (const auto& [key, value] : entry.xattrs) {
      json_ += separator;
      separator = ',';
      AppendString(json_, key);
      json_ += ":\"" + Base64Encode(value) + '"';
    }
    json_ += '}';
  }
  return OkStatus();
}

Status TocWriter::AddEntry(const TarEntry& entry) {
  std::string name = CleanName(entry.name);
  if (name.empty() && entry.type != TarType::kDirectory) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("tar entry \"{}\" names the root, but is no "
                                 "directory",
                                 entry.name));
  }
  if (entry.type == TarType::kDirectory) {
    name += name.empty() ? "./" : "/";
  }
  RETURN_IF_ERROR(BeginEntry(entry, name));
  if (entry.type == TarType::kSymlink || entry.type == TarType::kHardlink) {
    const std::string target =
        entry.type == TarType::kHardlink ? CleanName(entry.link_name) : entry.link_name;
    if (target.size() >= limits_.name_bytes) {
      return TooMuch(entry.name, "the link's target is too long");
    }
    AppendName(json_, "linkName", target);
  } else if (entry.type == TarType::kRegular) {
    AppendText(json_, "digest", oci::Digest::Of({}).ToString());
  }
  json_ += '}';
  return OkStatus();
}

Status TocWriter::AddFile(const TarEntry& entry, const oci::Digest& digest,
                          const std::vector<PlacedChunk>& chunks) {
  const std::string name = CleanName(entry.name);
  if (name.empty()) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("tar entry \"{}\" names the root, but is no directory", entry.name));
  }
  for (const PlacedChunk& chunk : chunks) {
    if (chunk.file_offset == 0) {
      RETURN_IF_ERROR(BeginEntry(entry, name));
      if (!digest.empty()) {
        AppendText(json_, "digest", digest.ToString());
      }
    } else {
      ++entries_;
      json_ += R"(,{"type":"chunk")";
      AppendName(json_, "name", name);
      AppendNumber(json_, "chunkOffset", chunk.file_offset);
    }
    AppendNumber(json_, "offset", chunk.blob_offset);
    AppendNumber(json_, "innerOffset", chunk.inner_offset);
    AppendNumber(json_, "chunkSize", chunks.size() > 1 ? chunk.size_bytes : 0);
    AppendText(json_, "chunkDigest", chunk.digest.ToString());
    json_ += '}';
  }
  return OkStatus();
}

StatusOr<std::string> TocWriter::Finish() {
  json_ += "]}";
  if (entries_ > limits_.entries || json_.size() > limits_.json_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("the layer's TOC has {} entries and {} bytes; the limits are {} "
                                 "and {}",
                                 entries_, json_.size(), limits_.entries, limits_.json_bytes));
  }
  return std::move(json_);
}

}  // namespace starling::estargz
