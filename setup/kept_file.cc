#include "setup/kept_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "oci/digest.h"

namespace starling::setup {
namespace {

constexpr uint64_t kMaxRecordBytes = 64 << 10;
constexpr int kRecordVersion = 1;
constexpr const char* kInfix = ".before-starling-";

std::filesystem::path WhereItIs(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_symlink(file, error)) {
    return file;
  }
  std::filesystem::path target = std::filesystem::weakly_canonical(file, error);
  return error ? file : target;
}

/// The file's content; nothing when there is no file.
StatusOr<std::optional<Bytes>> ReadIfThere(FileSystem& files, const std::filesystem::path& path) {
  StatusOr<Bytes> bytes = ReadFile(files, path, kMaxConfigBytes);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return std::optional<Bytes>();
  }
  RETURN_IF_ERROR(bytes.status());
  return std::optional<Bytes>(*std::move(bytes));
}

std::string DigestOf(const std::optional<Bytes>& content) {
  return content ? oci::Digest::Of(*content).ToString() : "";
}

Status RemoveFile(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, path.native());
  }
  return OkStatus();
}

struct Attributes {
  mode_t mode = 0644;
  std::optional<uid_t> owner;
  std::optional<gid_t> group;
};

Status Put(FileSystem& files, const std::filesystem::path& path, ByteSpan bytes,
           const Attributes& attributes) {
  RETURN_IF_ERROR(WriteFileAtomically(files, path, bytes, attributes.mode));
  if (attributes.owner && ::chown(path.c_str(), *attributes.owner, *attributes.group) != 0) {
    return ErrnoError(errno, fmt::format("the owner of {}", path.native()));
  }
  // The creation mask may have taken some of it.
  if (::chmod(path.c_str(), attributes.mode) != 0) {
    return ErrnoError(errno, fmt::format("the permissions of {}", path.native()));
  }
  return OkStatus();
}

}  // namespace

struct KeptFile::Record {
  bool existed = false;
  std::string before;                // its digest
  std::vector<std::string> written;  // digests of what was written instead
  mode_t mode = 0644;
  uid_t owner = 0;
  gid_t group = 0;
  std::vector<std::string> made_directories;  // outermost first
};

KeptFile::KeptFile(FileSystem& files, std::filesystem::path file, std::string purpose)
    : files_(files),
      file_(WhereItIs(file)),
      purpose_(std::move(purpose)),
      backup_(file_.string() + kInfix + purpose_),
      record_(backup_.string() + ".json") {}

bool KeptFile::is_kept() const {
  std::error_code error;
  return std::filesystem::exists(record_, error);
}

StatusOr<KeptFile::Record> KeptFile::ReadRecord() const {
  const StatusOr<Bytes> bytes = ReadFile(files_, record_, kMaxRecordBytes);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("{} was not changed by this: there is no {}", file_.native(),
                                 record_.native()));
  }
  RETURN_IF_ERROR(bytes.status());
  const nlohmann::json json =
      nlohmann::json::parse(AsText(*bytes), nullptr, /*allow_exceptions=*/false);
  const auto is_texts = [](const nlohmann::json& list) {
    return list.is_array() &&
           std::ranges::all_of(list, [](const auto& item) { return item.is_string(); });
  };
  const bool is_known =
      json.is_object() && json.value("version", nlohmann::json()) == kRecordVersion &&
      json.contains("existed") && json["existed"].is_boolean() && json.contains("before") &&
      json["before"].is_string() && json.contains("written") && is_texts(json["written"]) &&
      json.contains("mode") && json["mode"].is_number_unsigned() && json.contains("owner") &&
      json["owner"].is_number_unsigned() && json.contains("group") &&
      json["group"].is_number_unsigned() && json.contains("madeDirectories") &&
      is_texts(json["madeDirectories"]);
  if (!is_known) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} is not what this program writes", record_.native()));
  }
  return Record{.existed = json["existed"].get<bool>(),
                .before = json["before"].get<std::string>(),
                .written = json["written"].get<std::vector<std::string>>(),
                .mode = json["mode"].get<mode_t>() & 07777,
                .owner = json["owner"].get<uid_t>(),
                .group = json["group"].get<gid_t>(),
                .made_directories = json["madeDirectories"].get<std::vector<std::string>>()};
}

Status KeptFile::WriteRecord(const Record& record) const {
  const nlohmann::ordered_json json = {{"version", kRecordVersion},
                                       {"file", file_.native()},
                                       {"existed", record.existed},
                                       {"before", record.before},
                                       {"written", record.written},
                                       {"mode", record.mode},
                                       {"owner", record.owner},
                                       {"group", record.group},
                                       {"madeDirectories", record.made_directories}};
  const std::string text =
      json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return WriteFileAtomically(files_, record_, AsBytes(text), 0600);
}

Status KeptFile::CheckUnchanged(const Record& record) const {
  ASSIGN_OR_RETURN(const std::optional<Bytes> now, ReadIfThere(files_, file_));
  const std::string digest = DigestOf(now);
  // What was interrupted may not have come so far as to write.
  if (std::ranges::count(record.written, digest) > 0 || digest == record.before) {
    return OkStatus();
  }
  std::string message = fmt::format("{} was changed since; what stood there before is in {}",
                                    file_.native(), backup_.native());
  std::error_code error;
  const std::string prefix = file_.filename().string() + kInfix;
  for (const auto& entry : std::filesystem::directory_iterator(file_.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(".json") &&
        name != record_.filename().string()) {
      message += fmt::format(" (by {}? Undo that first)",
                             name.substr(prefix.size(), name.size() - prefix.size() - 5));
    }
  }
  return MakeError(StatusCode::kFailedPrecondition, message);
}

Status KeptFile::Write(std::string_view text, mode_t mode) {
  StatusOr<Record> record = ReadRecord();
  Attributes attributes{.mode = mode};
  struct stat now{};
  if (::stat(file_.c_str(), &now) == 0) {
    attributes = {.mode = now.st_mode & 07777, .owner = now.st_uid, .group = now.st_gid};
  }
  if (record.ok()) {
    RETURN_IF_ERROR(CheckUnchanged(*record));
  } else if (record.status().code() != StatusCode::kNotFound) {
    return record.status();
  } else {
    record = Record();
    for (std::filesystem::path directory = file_.parent_path();;
         directory = directory.parent_path()) {
      std::error_code error;
      if (directory.empty() || std::filesystem::exists(directory, error)) {
        break;
      }
      record->made_directories.insert(record->made_directories.begin(), directory.native());
    }
    RETURN_IF_ERROR(MakeDirectories(file_.parent_path(), 0755));
    ASSIGN_OR_RETURN(const std::optional<Bytes> before, ReadIfThere(files_, file_));
    record->existed = before.has_value();
    record->before = DigestOf(before);
    record->mode = attributes.mode;
    record->owner = attributes.owner.value_or(0);
    record->group = attributes.group.value_or(0);
    if (before) {
      RETURN_IF_ERROR(Put(files_, backup_, *before, attributes));
    }
  }
  record->written.push_back(oci::Digest::Of(AsBytes(text)).ToString());
  RETURN_IF_ERROR(WriteRecord(*record));
  return Put(files_, file_, AsBytes(text), attributes);
}

Status KeptFile::CanRestore() const {
  ASSIGN_OR_RETURN(const Record record, ReadRecord());
  return CheckUnchanged(record);
}

Status KeptFile::Restore() {
  ASSIGN_OR_RETURN(const Record record, ReadRecord());
  RETURN_IF_ERROR(CheckUnchanged(record));
  if (record.existed) {
    ASSIGN_OR_RETURN(const Bytes before, ReadFile(files_, backup_, kMaxConfigBytes));
    if (oci::Digest::Of(before).ToString() != record.before) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("{} was changed, so nothing is restored", backup_.native()));
    }
    RETURN_IF_ERROR(Put(files_, file_, before,
                        {.mode = record.mode, .owner = record.owner, .group = record.group}));
  } else {
    RETURN_IF_ERROR(RemoveFile(file_));
  }
  RETURN_IF_ERROR(RemoveFile(record_));
  RETURN_IF_ERROR(RemoveFile(backup_));
  for (auto directory = record.made_directories.rbegin();
       directory != record.made_directories.rend(); ++directory) {
    if (::rmdir(directory->c_str()) != 0) {
      break;  // somebody else uses it
    }
  }
  return OkStatus();
}

}  // namespace starling::setup
