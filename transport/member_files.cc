#include "transport/member_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "base/file_system.h"

namespace starling::transport {
namespace {

// Images have some hundred members; more is an attempt on our memory.
constexpr size_t kMaxMembers = 100'000;
constexpr size_t kReadBlockBytes = 1 << 20;
constexpr uint64_t kTarBlockBytes = 512;

struct ArchiveCloser {
  void operator()(archive* opened) const { archive_read_free(opened); }
};
using ArchiveReader = std::unique_ptr<archive, ArchiveCloser>;

Status ArchiveError(archive* opened, std::string_view context) {
  const char* message = archive_error_string(opened);
  return MakeError(StatusCode::kDataLoss,
                   fmt::format("{}: {}", context, message == nullptr ? "not a tar" : message));
}

/// `name` without "." and empty components, ".." applied; nothing when it leads out.
std::optional<std::string> CleanName(std::string_view name) {
  if (name.starts_with('/') || name.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::string clean;
  for (const auto& part : std::filesystem::path(name)) {
    if (part == "..") {
      if (clean.empty()) {
        return std::nullopt;
      }
      const size_t slash = clean.rfind('/');
      clean.resize(slash == std::string::npos ? 0 : slash);
    } else if (!part.empty() && part != ".") {
      clean += (clean.empty() ? "" : "/") + part.string();
    }
  }
  return clean;
}

bool HasParentComponent(std::string_view name) {
  for (const auto& part : std::filesystem::path(name)) {
    if (part == "..") {
      return true;
    }
  }
  return false;
}

/// A temporary file that no name leads to.
StatusOr<UniqueFd> OpenSpool() {
  const char* directory = std::getenv("TMPDIR");
  std::string path =
      fmt::format("{}/starling-XXXXXX", directory == nullptr ? "/var/tmp" : directory);
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoError(errno, fmt::format("create {}", path));
  }
  ::unlink(path.c_str());
  return fd;
}

/// One pass over a tar.
class TarScan {
 public:
  TarScan(std::filesystem::path path, FileExtent tar)
      : path_(std::move(path)), tar_(std::move(tar)) {}

  std::map<std::string, FileExtent> members;
  std::map<std::string, std::string> links;

  Status Run() {
    archive_.reset(archive_read_new());
    archive* const a = archive_.get();
    archive_read_support_format_tar(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_bzip2(a);
    if (archive_read_open_fd(a, tar_.file->get(), kReadBlockBytes) != ARCHIVE_OK) {
      return ArchiveError(a, path_.string());
    }
    for (;;) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(a, &entry);
      RETURN_IF_ERROR(PlaceOpenMember());
      if (result == ARCHIVE_EOF) {
        return OkStatus();
      }
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        return ArchiveError(a, path_.string());
      }
      RETURN_IF_ERROR(Enter(entry));
      if (++count_ > kMaxMembers) {
        return MakeError(StatusCode::kResourceExhausted,
                         fmt::format("{}: more than {} members", path_.string(), kMaxMembers));
      }
    }
  }

 private:
  Status Refuse(std::string_view name, std::string_view problem) const {
    return MakeError(StatusCode::kDataLoss, fmt::format("{}: member \"{}\" {}", path_.string(),
                                                        name.substr(0, 200), problem));
  }

  Status Enter(archive_entry* entry) {
    const char* raw_name = archive_entry_pathname(entry);
    const std::string name = raw_name == nullptr ? "" : raw_name;
    const auto clean = CleanName(name);
    if (!clean || HasParentComponent(name)) {
      return Refuse(name, "leads out of the archive");
    }
    if (archive_entry_hardlink(entry) != nullptr) {
      return Refuse(name, "is a hard link, which images do not hold");
    }
    if (archive_entry_filetype(entry) == AE_IFLNK) {
      const std::string parent = std::filesystem::path(*clean).parent_path().string();
      const char* raw_target = archive_entry_symlink(entry);
      const std::string target = raw_target == nullptr ? "" : raw_target;
      const auto resolved = target.starts_with('/')
                                ? std::nullopt
                                : CleanName(parent + (parent.empty() ? "" : "/") + target);
      if (!resolved) {
        return Refuse(name, "is a link out of the archive");
      }
      links[*clean] = *resolved;
      return OkStatus();
    }
    if (archive_entry_filetype(entry) != AE_IFREG) {
      return OkStatus();
    }
    if (archive_entry_sparse_count(entry) > 0) {
      return Refuse(name, "is sparse, which images do not hold");
    }
    if (archive_entry_size(entry) < 0) {
      return Refuse(name, "has no size");
    }
    const auto size_bytes = static_cast<uint64_t>(archive_entry_size(entry));
    if (IsCompressed()) {
      return Spool(*clean, size_bytes);
    }
    open_member_ = *clean;
    open_size_bytes_ = size_bytes;
    open_header_offset_ = static_cast<uint64_t>(archive_read_header_position(archive_.get()));
    return OkStatus();
  }

  /// Filter 0 is the outermost; an uncompressed file has none but the one that reads it.
  bool IsCompressed() const {
    return archive_filter_code(archive_.get(), 0) != ARCHIVE_FILTER_NONE;
  }

  /// Where the content of the member before the current header lies. libarchive tells where headers
  /// begin; the content ends, padded to blocks, where the next one does.
  Status PlaceOpenMember() {
    if (!open_member_) {
      return OkStatus();
    }
    const std::string name = *std::exchange(open_member_, std::nullopt);
    const auto end = static_cast<uint64_t>(archive_read_header_position(archive_.get()));
    const uint64_t padded_bytes =
        (open_size_bytes_ + kTarBlockBytes - 1) / kTarBlockBytes * kTarBlockBytes;
    if (end > tar_.size_bytes || padded_bytes > end ||
        end - padded_bytes < open_header_offset_ + kTarBlockBytes) {
      return Refuse(name, "is cut short");
    }
    members[name] = {
        .file = tar_.file, .file_offset = end - padded_bytes, .size_bytes = open_size_bytes_};
    return OkStatus();
  }

  Status Spool(const std::string& name, uint64_t size_bytes) {
    if (spool_ == nullptr) {
      ASSIGN_OR_RETURN(UniqueFd fd, OpenSpool());
      spool_ = std::make_shared<const UniqueFd>(std::move(fd));
    }
    const uint64_t begin = spooled_bytes_;
    Bytes buffer(kReadBlockBytes);
    for (;;) {
      const la_ssize_t count = archive_read_data(archive_.get(), buffer.data(), buffer.size());
      if (count < 0) {
        return ArchiveError(archive_.get(), fmt::format("{}: {}", path_.string(), name));
      }
      if (count == 0) {
        break;
      }
      const ByteSpan read = ByteSpan(buffer).first(static_cast<size_t>(count));
      RETURN_IF_ERROR(Annotate(RealFileSystem().WriteAt(spool_->get(), spooled_bytes_, read),
                               "unpacking to a temporary file"));
      spooled_bytes_ += read.size();
    }
    if (spooled_bytes_ - begin != size_bytes) {
      return Refuse(name, "is cut short");
    }
    members[name] = {.file = spool_, .file_offset = begin, .size_bytes = size_bytes};
    return OkStatus();
  }

  const std::filesystem::path path_;
  const FileExtent tar_;
  ArchiveReader archive_;
  size_t count_ = 0;
  std::optional<std::string> open_member_;
  uint64_t open_size_bytes_ = 0;
  uint64_t open_header_offset_ = 0;
  std::shared_ptr<const UniqueFd> spool_;
  uint64_t spooled_bytes_ = 0;
};

}  // namespace

StatusOr<FileExtent> DirectoryFiles::Find(const std::string& name) const {
  return OpenFileExtent(directory_ / name);
}

StatusOr<std::unique_ptr<TarFiles>> TarFiles::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(FileExtent tar, OpenFileExtent(path));
  TarScan scan(path, std::move(tar));
  RETURN_IF_ERROR(scan.Run());
  std::unique_ptr<TarFiles> files(new TarFiles);
  files->members_ = std::move(scan.members);
  files->links_ = std::move(scan.links);
  return files;
}

StatusOr<FileExtent> TarFiles::Find(const std::string& name) const {
  auto found = members_.find(name);
  if (found == members_.end()) {
    // One step only: docker save links to files, and a chain could be a cycle.
    if (const auto link = links_.find(name); link != links_.end()) {
      found = members_.find(link->second);
    }
  }
  if (found == members_.end()) {
    return MakeError(StatusCode::kNotFound, fmt::format("no member \"{}\"", name.substr(0, 200)));
  }
  return found->second;
}

}  // namespace starling::transport
