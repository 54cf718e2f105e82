#include "dockerfile/lock/lock.h"

#include <algorithm>
#include <functional>

#include "base/text.h"
#include "dockerfile/syntax/git_reference.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::lock {
namespace {

using oci::Json;

constexpr int kMaxDepth = 4;

Status Wrong(const std::string& pointer, const std::string& message) {
  return MakeError(StatusCode::kInvalidArgument, pointer + ": " + message);
}

StatusOr<oci::Digest> ReadDigest(const Json& value, const std::string& pointer) {
  if (!value.is_string()) {
    return Wrong(pointer, "this must be a digest");
  }
  auto digest = oci::Digest::Parse(value.get<std::string>());
  if (!digest.ok()) {
    return Wrong(pointer, std::string(MessageOf(digest.status())));
  }
  return digest;
}

StatusOr<std::string> ReadCommit(const Json& value, const std::string& pointer) {
  const std::string commit = value.is_string() ? value.get<std::string>() : "";
  if (!syntax::IsWholeCommit(commit)) {
    return Wrong(pointer, "this must be a whole commit");
  }
  return commit;
}

StatusOr<LockedFile> ReadLockedFile(const Json& value, const std::string& pointer) {
  if (!value.is_object() || value.size() != 2 || !value.contains("file") ||
      !value.contains("digest")) {
    return Wrong(pointer, R"(this must be an object with "file" and "digest")");
  }
  LockedFile locked;
  if (!value["file"].is_string() || !IsOneWord(value["file"].get<std::string>()) ||
      ("/" + value["file"].get<std::string>()).find("/..") != std::string::npos) {
    return Wrong(pointer + "/file", "this must be the name of a file");
  }
  locked.file = value["file"].get<std::string>();
  ASSIGN_OR_RETURN(locked.digest, ReadDigest(value["digest"], pointer + "/digest"));
  return locked;
}

StatusOr<LockedFile> ReadPython(const Json& value, const std::string& pointer) {
  ASSIGN_OR_RETURN(LockedFile python, ReadLockedFile(value, pointer));
  if (python.file.find('/') != std::string::npos) {
    return Wrong(pointer + "/file", "this must be the name of a file");
  }
  return python;
}

StatusOr<std::vector<std::string>> ReadLines(const Json& value, const std::string& pointer) {
  if (!value.is_array()) {
    return Wrong(pointer, "this must be an array of lines");
  }
  std::vector<std::string> lines;
  for (const Json& line : value) {
    // A line is a word of a command, or one of a file.
    if (!line.is_string() || line.get_ref<const std::string&>().find_first_of(
                                 std::string_view("\n\r\0", 3)) != std::string::npos) {
      return Wrong(fmt::format("{}/{}", pointer, lines.size()), "this must be a line");
    }
    lines.push_back(line.get<std::string>());
  }
  return lines;
}

/// The member `name` of `document`, an object of entries that `read` reads.
template <typename Value, typename Read>
Status ReadEntries(const Json& document, const char* name, std::map<std::string, Value>& entries,
                   const Read& read) {
  const auto found = document.find(name);
  if (found == document.end()) {
    return OkStatus();
  }
  if (!found->is_object()) {
    return Wrong(fmt::format("/{}", name), "this must be an object");
  }
  for (const auto& [key, value] : found->items()) {
    ASSIGN_OR_RETURN(Value entry, read(value, fmt::format("/{}/{}", name, key)));
    entries.insert_or_assign(key, std::move(entry));
  }
  return OkStatus();
}

StatusOr<Lock> Read(ByteSpan json) {
  ASSIGN_OR_RETURN(const Json document, oci::ParseStrictJsonObject(json, kMaxDepth));
  for (const auto& [name, value] : document.items()) {
    if (name != "version" && name != "images" && name != "pythons" && name != "tools" &&
        name != "packages" && name != "downloads" && name != "repositories") {
      return Wrong("/" + name, "there is no such member here");
    }
  }
  const auto version = document.find("version");
  if (version == document.end() || !version->is_number_integer() || *version != kLockVersion) {
    return Wrong("/version", fmt::format("this program reads version {}", kLockVersion));
  }
  Lock lock;
  RETURN_IF_ERROR(ReadEntries(document, "images", lock.images, ReadDigest));
  RETURN_IF_ERROR(ReadEntries(document, "pythons", lock.pythons, ReadPython));
  RETURN_IF_ERROR(ReadEntries(document, "tools", lock.tools, ReadLockedFile));
  RETURN_IF_ERROR(ReadEntries(document, "packages", lock.packages, ReadLines));
  RETURN_IF_ERROR(ReadEntries(document, "downloads", lock.downloads, ReadDigest));
  RETURN_IF_ERROR(ReadEntries(document, "repositories", lock.repositories, ReadCommit));
  return lock;
}

}  // namespace

StatusOr<Lock> ParseLock(ByteSpan json) {
  if (json.size() > kMaxLockBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} bytes, at most {} are read", json.size(), kMaxLockBytes));
  }
  return Read(json);
}

std::string WriteLock(const Lock& lock) {
  Json document = {{"version", kLockVersion}};
  for (const auto& [reference, digest] : lock.images) {
    document["images"][reference] = digest.ToString();
  }
  for (const auto& [wanted, python] : lock.pythons) {
    document["pythons"][wanted] = {{"file", python.file}, {"digest", python.digest.ToString()}};
  }
  for (const auto& [wanted, tool] : lock.tools) {
    document["tools"][wanted] = {{"file", tool.file}, {"digest", tool.digest.ToString()}};
  }
  for (const auto& [install, lines] : lock.packages) {
    document["packages"][install] = lines;
  }
  for (const auto& [url, digest] : lock.downloads) {
    document["downloads"][url] = digest.ToString();
  }
  for (const auto& [reference, commit] : lock.repositories) {
    document["repositories"][reference] = commit;
  }
  return document.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace starling::dockerfile::lock
