#include "dockerfile/files/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/io.h"
#include "base/unique_fd.h"
#include "dockerfile/files/copy.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::files {
namespace {

constexpr size_t kBlockBytes = 256 << 10;
constexpr mode_t kModeBits = 07777;
constexpr int kMaxDepth = 500;  // as of RemoveTree
constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kWhiteoutOfAufs = ".wh..wh.";

struct Closer {
  void operator()(archive* opened) const { ::archive_read_free(opened); }
};
using Reader = std::unique_ptr<archive, Closer>;

Reader NewReader() {
  Reader reader(::archive_read_new());
  ::archive_read_support_format_tar(reader.get());
  ::archive_read_support_format_gnutar(reader.get());
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_bzip2(reader.get());
  ::archive_read_support_filter_xz(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  return reader;
}

/// The parts of an entry's name. Errors: kInvalidArgument when it leads out.
StatusOr<std::vector<std::string>> NameParts(std::string_view name) {
  std::vector<std::string> clean;
  for (std::string& part : PartsOf(name)) {
    if (part == "..") {
      if (clean.empty()) {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("archive: the name {} leads out of it", name));
      }
      clean.pop_back();
    } else {
      clean.push_back(std::move(part));
    }
  }
  return clean;
}

class Unpacking {
 public:
  Unpacking(int file, int directory, const UnpackOptions& options, const std::stop_token& stop)
      : directory_(directory), options_(options), stop_(stop), reader_(NewReader()) {
    opened_ = ::archive_read_open_fd(reader_.get(), file, kBlockBytes) == ARCHIVE_OK;
  }

  StatusOr<UnpackReport> Run() {
    if (!opened_) {
      return Broken("archive");
    }
    for (;;) {
      if (stop_.stop_requested()) {
        return MakeError(StatusCode::kCancelled, "stopped");
      }
      archive_entry* entry = nullptr;
      const int result = ::archive_read_next_header(reader_.get(), &entry);
      if (result == ARCHIVE_EOF) {
        break;
      }
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        return Broken("archive");
      }
      if (++report_.files > options_.max_files) {
        return MakeError(StatusCode::kResourceExhausted,
                         fmt::format("archive: more than {} files", options_.max_files));
      }
      RETURN_IF_ERROR(Put(entry));
    }
    // Of directories last: what is put into them changes their times.
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
      const auto made = OpenWithoutLinks(directory_, at->first, O_PATH | O_DIRECTORY);
      if (made.ok()) {
        ::utimensat(AT_FDCWD, fmt::format("/proc/self/fd/{}", made->get()).c_str(),
                    at->second.data(), 0);
      }
    }
    return report_;
  }

 private:
  using Times = std::array<struct timespec, 2>;

  Status Broken(std::string_view what) const {
    const char* message = ::archive_error_string(reader_.get());
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: {}", what, message == nullptr ? "broken" : message));
  }

  static Times TimesOf(archive_entry* entry) {
    const struct timespec modified = {.tv_sec = ::archive_entry_mtime(entry),
                                      .tv_nsec = ::archive_entry_mtime_nsec(entry)};
    return {modified, modified};
  }
  StatusOr<Owner> OwnerOf(archive_entry* entry, const std::string& shown) const {
    if (options_.owner) {
      return *options_.owner;
    }
    // The greatest number means "leave it" to the kernel.
    constexpr int64_t kEnd = std::numeric_limits<uint32_t>::max();
    for (const int64_t id : {::archive_entry_uid(entry), ::archive_entry_gid(entry)}) {
      if (id < 0 || id >= kEnd) {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("archive: {}: there can be no owner {}", shown, id));
      }
    }
    return Owner{.uid = static_cast<uint32_t>(::archive_entry_uid(entry)),
                 .gid = static_cast<uint32_t>(::archive_entry_gid(entry))};
  }
  mode_t ModeOf(archive_entry* entry, bool is_directory) const {
    const mode_t mode = ::archive_entry_perm(entry) & kModeBits;
    return options_.chmod ? ChangedMode(*options_.chmod, mode, is_directory) : mode;
  }

  Status Put(archive_entry* entry) {
    const char* raw = ::archive_entry_pathname(entry);
    if (raw == nullptr) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("archive: entry {} has no readable name", report_.files));
    }
    const std::string shown = raw;
    ASSIGN_OR_RETURN(const std::vector<std::string> parts, NameParts(shown));
    if (parts.empty()) {
      // Its owner and mode are those of a layer to set, but not of any archive.
      return options_.is_layer && ::archive_entry_filetype(entry) == AE_IFDIR ? PutRoot(entry)
                                                                              : OkStatus();
    }
    std::string parent_path;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      parent_path += "/" + parts[i];
    }
    ASSIGN_OR_RETURN(const UniqueFd parent, EnsureDirectory(directory_, parent_path, nullptr));
    const std::string& name = parts.back();
    if (options_.is_layer) {
      if (name.starts_with(kWhiteout)) {
        return PutWhiteout(parent.get(), parent_path, name);
      }
      Remember(parts);
    }
    if (::archive_entry_filetype(entry) == AE_IFDIR && ::archive_entry_hardlink(entry) == nullptr) {
      return PutDirectory(entry, parent.get(), name, parent_path + "/" + name);
    }
    RETURN_IF_ERROR(RemoveTree(parent.get(), name));
    if (const char* target = ::archive_entry_hardlink(entry); target != nullptr) {
      return PutHardLink(target, parent.get(), name, shown);
    }
    return PutFile(entry, parent.get(), name, shown);
  }

  /// The entry and its parents are the layer's: what is opaque leaves them alone.
  void Remember(const std::vector<std::string>& parts) {
    std::string path;
    for (const std::string& part : parts) {
      path += "/" + part;
      of_layer_.insert(path);
    }
  }

  Status PutWhiteout(int parent, const std::string& parent_path, const std::string& name) {
    if (name != kOpaque) {
      return name.starts_with(kWhiteoutOfAufs) || name.size() == kWhiteout.size()
                 ? OkStatus()
                 : RemoveTree(parent, name.substr(kWhiteout.size()));
    }
    return MakeOpaque(parent, parent_path, 0);
  }

  Status MakeOpaque(int directory, const std::string& path, int depth) {
    if (depth > kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("archive: {}... is too deep", path.substr(0, 100)));
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory));
    for (const std::string& name : names) {
      const std::string child = path + "/" + name;
      if (!of_layer_.contains(child)) {
        RETURN_IF_ERROR(RemoveTree(directory, name));
        continue;
      }
      const UniqueFd below(
          ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (below.valid()) {
        RETURN_IF_ERROR(MakeOpaque(below.get(), child, depth + 1));
      }
    }
    return OkStatus();
  }

  Status PutRoot(archive_entry* entry) {
    ASSIGN_OR_RETURN(const UniqueFd root, OpenInRoot(directory_, "/", O_RDONLY | O_DIRECTORY));
    ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry, "/"));
    if (::fchown(root.get(), owner.uid, owner.gid) != 0 ||
        ::fchmod(root.get(), ModeOf(entry, true)) != 0) {
      return ErrnoError(errno, "archive: /");
    }
    return PutXattrs(entry, root.get(), "/");
  }

  Status PutDirectory(archive_entry* entry, int parent, const std::string& name,
                      const std::string& path) {
    const auto open = [&] {
      return UniqueFd(
          ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    };
    UniqueFd made = open();
    if (!made.valid()) {
      RETURN_IF_ERROR(RemoveTree(parent, name));
      if (::mkdirat(parent, name.c_str(), 0700) != 0 || !(made = open()).valid()) {
        return ErrnoError(errno, fmt::format("archive: {}", path));
      }
    }
    ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry, path));
    if (::fchown(made.get(), owner.uid, owner.gid) != 0 ||
        ::fchmod(made.get(), ModeOf(entry, true)) != 0) {
      return ErrnoError(errno, fmt::format("archive: {}", path));
    }
    directories_.emplace_back(path.substr(1), TimesOf(entry));
    return PutXattrs(entry, made.get(), path);
  }

  Status PutHardLink(std::string_view target, int parent, const std::string& name,
                     const std::string& shown) {
    ASSIGN_OR_RETURN(const std::vector<std::string> parts, NameParts(target));
    if (parts.empty()) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("archive: {} is a link to nothing", shown));
    }
    std::string path;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      path += (path.empty() ? "" : "/") + parts[i];
    }
    ASSIGN_OR_RETURN(const UniqueFd directory, OpenInRoot(directory_, path, O_PATH | O_DIRECTORY));
    // Without following: a link to a link is a second name of the link.
    if (::linkat(directory.get(), parts.back().c_str(), parent, name.c_str(), 0) != 0) {
      return ErrnoError(errno, fmt::format("archive: {} as a link to {}", shown, target));
    }
    return OkStatus();
  }

  Status PutFile(archive_entry* entry, int parent, const std::string& name,
                 const std::string& shown) {
    ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry, shown));
    const Times times = TimesOf(entry);
    const mode_t type = ::archive_entry_filetype(entry);
    const auto failed = [&] { return ErrnoError(errno, fmt::format("archive: {}", shown)); };
    if (type == AE_IFREG) {
      const UniqueFd to(::openat(parent, name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!to.valid()) {
        return failed();
      }
      RETURN_IF_ERROR(PutContent(entry, to.get(), shown));
      if (::fchown(to.get(), owner.uid, owner.gid) != 0 ||
          ::fchmod(to.get(), ModeOf(entry, false)) != 0) {
        return failed();
      }
      RETURN_IF_ERROR(PutXattrs(entry, to.get(), shown));
      return ::futimens(to.get(), times.data()) == 0 ? OkStatus() : failed();
    }
    if (type == AE_IFLNK) {
      const char* target = ::archive_entry_symlink(entry);
      if (target == nullptr || ::symlinkat(target, parent, name.c_str()) != 0) {
        return failed();
      }
    } else if (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFIFO) {
      if (::mknodat(parent, name.c_str(), type | 0600, ::archive_entry_rdev(entry)) != 0) {
        return failed();
      }
    } else {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("archive: {}: no such kind of file is known", shown));
    }
    if (::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        (type != AE_IFLNK && ::fchmodat(parent, name.c_str(), ModeOf(entry, false), 0) != 0) ||
        ::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return failed();
    }
    return OkStatus();
  }

  Status PutContent(archive_entry* entry, int to, const std::string& shown) {
    for (;;) {
      const void* data = nullptr;
      size_t size = 0;
      int64_t offset = 0;
      const int result = ::archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) {
        break;
      }
      if (result != ARCHIVE_OK) {
        return Broken(fmt::format("archive: {}", shown));
      }
      report_.bytes += size;
      if (report_.bytes > options_.max_bytes || offset > static_cast<int64_t>(options_.max_bytes)) {
        return MakeError(StatusCode::kResourceExhausted,
                         fmt::format("archive: {}: more than {} bytes", shown, options_.max_bytes));
      }
      for (size_t written = 0; written < size;) {
        const ssize_t one = ::pwrite(to, static_cast<const char*>(data) + written, size - written,
                                     offset + static_cast<off_t>(written));
        if (one < 0 && errno != EINTR) {
          return ErrnoError(errno, fmt::format("archive: {}", shown));
        }
        written += static_cast<size_t>(std::max<ssize_t>(one, 0));
      }
    }
    // A sparse file may end in a hole.
    return ::ftruncate(to, ::archive_entry_size(entry)) == 0 ? OkStatus()
                                                             : ErrnoError(errno, shown);
  }

  static Status PutXattrs(archive_entry* entry, int to, const std::string& shown) {
    ::archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      const std::string_view text = name;
      const bool is_kept = text == "security.capability" ||
                           (text.starts_with("user.") && !text.starts_with("user.overlay."));
      if (is_kept && ::fsetxattr(to, name, value, size, 0) != 0 && errno != ENOTSUP) {
        return ErrnoError(errno, fmt::format("archive: {}: attribute {}", shown, text));
      }
    }
    return OkStatus();
  }

  const int directory_;
  const UnpackOptions& options_;
  const std::stop_token& stop_;
  const Reader reader_;
  bool opened_ = false;
  UnpackReport report_;
  std::unordered_set<std::string> of_layer_;
  std::vector<std::pair<std::string, Times>> directories_;
};

}  // namespace

StatusOr<bool> IsArchive(int file) {
  const Reader reader = NewReader();
  archive_entry* entry = nullptr;
  const bool is_archive = ::archive_read_open_fd(reader.get(), file, kBlockBytes) == ARCHIVE_OK &&
                          ::archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK;
  if (::lseek(file, 0, SEEK_SET) != 0) {
    return ErrnoError(errno, "archive");
  }
  return is_archive;
}

StatusOr<UnpackReport> UnpackArchive(int file, int directory, const UnpackOptions& options,
                                     const std::stop_token& stop) {
  return Unpacking(file, directory, options, stop).Run();
}

Status ExtractFromZip(int file, std::string_view name, int to, uint64_t max_bytes,
                      const std::stop_token& stop) {
  const Reader reader(::archive_read_new());
  ::archive_read_support_format_zip(reader.get());
  const auto broken = [&reader] {
    const char* message = ::archive_error_string(reader.get());
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("archive: {}", message == nullptr ? "broken" : message));
  };
  if (::archive_read_open_fd(reader.get(), file, kBlockBytes) != ARCHIVE_OK) {
    return broken();
  }
  for (;;) {
    archive_entry* entry = nullptr;
    const int result = ::archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) {
      return MakeError(StatusCode::kNotFound, fmt::format("archive: there is no {} in it", name));
    }
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
      return broken();
    }
    const char* found = ::archive_entry_pathname(entry);
    if (found != nullptr && found == name && ::archive_entry_filetype(entry) == AE_IFREG) {
      break;
    }
  }
  FdSink sink(to);
  Bytes piece(kBlockBytes);
  for (uint64_t written = 0;;) {
    if (stop.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    const la_ssize_t size = ::archive_read_data(reader.get(), piece.data(), piece.size());
    if (size < 0) {
      return broken();
    }
    if (size == 0) {
      return OkStatus();
    }
    written += static_cast<uint64_t>(size);
    if (written > max_bytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("archive: {}: more than {} bytes", name, max_bytes));
    }
    RETURN_IF_ERROR(sink.Write(ByteSpan(piece).first(static_cast<size_t>(size))));
  }
}

}  // namespace starling::dockerfile::files
