#include "estargz/toc_writer.h"

#include "base/hex.h"
#include "estargz/json_text.h"

namespace starling::estargz {
namespace {

void AppendKey(std::string& json, std::string_view key) {
  json += ",\"";
  json += key;
  json += "\":";
}

void AppendText(std::string& json, std::string_view key, std::string_view text) {
  AppendKey(json, key);
  AppendJsonText(json, text);
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

void TocWriter::AppendTimes(const TarEntry& entry) {
  const auto append = [this](std::string_view key, const TarTime& time) {
    if (time != TarTime{}) {
      AppendText(json_, key, JsonTime(time.seconds, time.nanoseconds));
    }
  };
  if (dialect_ == TocDialect::kStargz) {
    append("modtime", {.seconds = entry.modified_seconds});
    return;
  }
  append("modtime", {entry.modified_seconds, entry.modified_nanoseconds});
  append("accesstime", entry.accessed.value_or(TarTime{}));
  append("changetime", entry.changed.value_or(TarTime{}));
}

/// The name as the dialect has it. Only a directory may be the root.
StatusOr<std::string> TocWriter::NameOf(const TarEntry& entry) const {
  std::string clean = CleanName(entry.name);
  if (clean.empty() && entry.type != TarType::kDirectory) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("tar entry \"{}\" names the root, but is no directory", entry.name));
  }
  if (dialect_ == TocDialect::kContainers) {
    return entry.name;
  }
  if (entry.type == TarType::kDirectory) {
    clean += clean.empty() ? "./" : "/";
  }
  return clean;
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
  AppendTimes(entry);
  AppendNumber(json_, "mode", dialect_ == TocDialect::kContainers ? entry.mode_field : entry.mode);
  AppendOwner(entry);
  AppendNumber(json_, "devMajor", entry.device_major);
  AppendNumber(json_, "devMinor", entry.device_minor);
  if (!entry.xattrs.empty()) {
    AppendKey(json_, "xattrs");
    char separator = '{';
    for (const auto& [key, value] : entry.xattrs) {
      json_ += separator;
      separator = ',';
      AppendJsonText(json_, key);
      json_ += ":\"" + Base64Encode(value) + '"';
    }
    json_ += '}';
  }
  return OkStatus();
}

Status TocWriter::AddEntry(const TarEntry& entry) {
  ASSIGN_OR_RETURN(const std::string name, NameOf(entry));
  RETURN_IF_ERROR(BeginEntry(entry, name));
  if (entry.type == TarType::kSymlink || entry.type == TarType::kHardlink) {
    const bool clean = entry.type == TarType::kHardlink && dialect_ == TocDialect::kStargz;
    const std::string target = clean ? CleanName(entry.link_name) : entry.link_name;
    if (target.size() >= limits_.name_bytes) {
      return TooMuch(entry.name, "the link's target is too long");
    }
    AppendName(json_, "linkName", target);
  } else if (entry.type == TarType::kRegular && dialect_ == TocDialect::kStargz) {
    AppendText(json_, "digest", oci::Digest::Of({}).ToString());
  }
  json_ += '}';
  return OkStatus();
}

Status TocWriter::AddFile(const TarEntry& entry, const oci::Digest& digest,
                          const std::vector<PlacedChunk>& chunks) {
  ASSIGN_OR_RETURN(const std::string name, NameOf(entry));
  const bool several = chunks.size() > 1;
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
    AppendNumber(json_, "chunkSize", several ? chunk.size_bytes : 0);
    if (dialect_ == TocDialect::kContainers) {
      AppendNumber(json_, "endOffset", chunk.file_offset == 0 ? chunks.back().blob_end : 0);
    }
    // In the dialect of containers/storage a lone chunk is the file, which is said already.
    if (several || dialect_ == TocDialect::kStargz) {
      AppendText(json_, "chunkDigest", chunk.digest.ToString());
    }
    if (several && chunk.is_zeros && dialect_ == TocDialect::kContainers) {
      AppendText(json_, "chunkType", "zeros");
    }
    json_ += '}';
  }
  return OkStatus();
}

StatusOr<std::string> TocWriter::Finish(const oci::Digest& tar_split) {
  json_ += ']';
  if (!tar_split.empty()) {
    AppendText(json_, "tarSplitDigest", tar_split.ToString());
  }
  json_ += '}';
  if (entries_ > limits_.entries || json_.size() > limits_.json_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("the layer's TOC has {} entries and {} bytes; the limits are {} "
                                 "and {}",
                                 entries_, json_.size(), limits_.entries, limits_.json_bytes));
  }
  return std::move(json_);
}

}  // namespace starling::estargz
