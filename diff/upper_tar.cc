#include "diff/upper_tar.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "estargz/tar.h"
#include "estargz/tar_header.h"

namespace starling::diff {
namespace {

using estargz::TarEntry;
using estargz::TarType;
using Xattrs = std::map<std::string, Bytes>;

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueMark = ".wh..opq";  // behind the prefix
/// In both, since a mount with "userxattr" has the second.
constexpr std::array<std::string_view, 2> kOverlayPrefixes = {"trusted.overlay.", "user.overlay."};
/// Labels of this machine's security modules.
constexpr std::array<std::string_view, 5> kOfThisMachine = {
    "security.selinux", "security.apparmor", "security.SMACK64", "security.ima", "security.evm"};
constexpr size_t kMaxXattrListBytes = 64 << 10;  // XATTR_LIST_MAX
constexpr size_t kMaxXattrBytes = 64 << 10;      // XATTR_SIZE_MAX

Status ErrnoAt(const std::string& path) {
  return ErrnoError(errno, fmt::format("snapshot: /{}", path));
}

Status Refuse(const std::string& path, std::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, fmt::format("snapshot: /{}: {}", path, why));
}

/// The descriptor may be an O_PATH one, of which the other calls know nothing.
std::string ProcPath(const UniqueFd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

StatusOr<Bytes> ReadXattr(const std::string& proc_path, const char* name, const std::string& path) {
  Bytes value(kMaxXattrBytes);
  const ssize_t size = ::getxattr(proc_path.c_str(), name, value.data(), value.size());
  if (size < 0) {
    return ErrnoAt(path);
  }
  value.resize(static_cast<size_t>(size));
  return value;
}

StatusOr<Xattrs> ReadXattrs(const UniqueFd& fd, const std::string& path) {
  const std::string proc_path = ProcPath(fd);
  std::string names(kMaxXattrListBytes, '\0');
  const ssize_t size = ::listxattr(proc_path.c_str(), names.data(), names.size());
  if (size < 0 && errno == ENOTSUP) {
    return Xattrs();
  }
  if (size < 0) {
    return ErrnoAt(path);
  }
  names.resize(static_cast<size_t>(size));
  Xattrs xattrs;
  for (std::string_view left = names; !left.empty();) {
    const std::string name(left.substr(0, left.find('\0')));
    left.remove_prefix(name.size() + 1);
    ASSIGN_OR_RETURN(xattrs[name], ReadXattr(proc_path, name.c_str(), path));
  }
  return xattrs;
}

/// What overlayfs says of a file by its attributes.
struct OverlayMarks {
  bool is_opaque = false;
  bool is_whiteout = false;
  bool needs_below = false;
};

/// Takes overlayfs' attributes out of `xattrs`, and those that mean nothing on another machine.
OverlayMarks TakeMarks(Xattrs& xattrs) {
  OverlayMarks marks;
  std::erase_if(xattrs, [&marks](const auto& entry) {
    const auto& [name, value] = entry;
    for (const std::string_view prefix : kOverlayPrefixes) {
      if (!name.starts_with(prefix)) {
        continue;
      }
      const std::string_view key = std::string_view(name).substr(prefix.size());
      marks.is_opaque |= key == "opaque" && AsText(value) == "y";
      marks.is_whiteout |= key == "whiteout";
      marks.needs_below |= key == "redirect" || key == "metacopy";
      return true;
    }
    return std::ranges::find(kOfThisMachine, name) != kOfThisMachine.end();
  });
  return marks;
}

StatusOr<std::string> ReadLink(const UniqueFd& fd, const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(fd.get(), "", target.data(), target.size());
  if (size < 0) {
    return ErrnoAt(path);
  }
  target.resize(static_cast<size_t>(size));
  return target;
}

StatusOr<std::vector<std::string>> ReadNames(const UniqueFd& directory, const std::string& path) {
  const int fd = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return ErrnoAt(path);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
  if (!stream) {
    const Status error = ErrnoAt(path);
    ::close(fd);
    return error;
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  if (errno != 0) {
    return ErrnoAt(path);
  }
  std::ranges::sort(names);
  return names;
}

TarType TypeOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return TarType::kDirectory;
    case S_IFLNK:
      return TarType::kSymlink;
    case S_IFCHR:
      return TarType::kCharacter;
    case S_IFBLK:
      return TarType::kBlock;
    case S_IFIFO:
      return TarType::kFifo;
    default:
      return TarType::kRegular;
  }
}

}  // namespace

StatusOr<std::unique_ptr<UpperTar>> UpperTar::Open(const std::filesystem::path& upper,
                                                   UpperTarOptions options) {
  UniqueFd root(::open(upper.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root.valid()) {
    return ErrnoError(errno, upper.native());
  }
  std::unique_ptr<UpperTar> tar(new UpperTar(std::move(options)));
  RETURN_IF_ERROR(tar->Enter(std::move(root), ""));
  return tar;
}

StatusOr<size_t> UpperTar::Read(std::span<std::byte> out) {
  for (;;) {
    if (pending_taken_ < pending_.size()) {
      const ByteSpan taken = ByteSpan(pending_)
                                 .subspan(pending_taken_)
                                 .first(std::min(out.size(), pending_.size() - pending_taken_));
      std::ranges::copy(taken, out.begin());
      pending_taken_ += taken.size();
      return taken.size();
    }
    pending_.clear();
    pending_taken_ = 0;
    if (content_left_ > 0) {
      return ReadContent(out);
    }
    if (padding_left_ > 0) {
      pending_.resize(std::exchange(padding_left_, 0));
      continue;
    }
    content_ = UniqueFd();
    if (ended_) {
      return size_t{0};
    }
    RETURN_IF_ERROR(Advance());
  }
}

StatusOr<size_t> UpperTar::ReadContent(std::span<std::byte> out) {
  ssize_t size = 0;
  do {
    size = ::read(content_.get(), out.data(), std::min<uint64_t>(out.size(), content_left_));
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    return ErrnoAt(content_path_);
  }
  if (size == 0) {
    return MakeError(StatusCode::kAborted,
                     fmt::format("snapshot: /{} shrank while it was read", content_path_));
  }
  content_left_ -= static_cast<uint64_t>(size);
  return static_cast<size_t>(size);
}

Status UpperTar::Enter(UniqueFd fd, std::string path) {
  if (path_.size() > kMaxDepth) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("snapshot: directories are more than {} levels deep, at /{}...",
                                 kMaxDepth, path.substr(0, 100)));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> names, ReadNames(fd, path));
  path_.push_back({.fd = std::move(fd), .path = std::move(path), .names = std::move(names)});
  return OkStatus();
}

/// Makes what comes next in the tar ready.
Status UpperTar::Advance() {
  if (path_.empty()) {
    ended_ = true;
    pending_.resize(2 * estargz::kTarBlockBytes);
    return OkStatus();
  }
  Directory& in = path_.back();
  if (std::exchange(in.is_opaque, false)) {
    return AddWhiteout(in, kOpaqueMark);
  }
  if (in.next == in.names.size()) {
    path_.pop_back();
    return OkStatus();
  }
  // Add may enter another directory, which moves this one.
  const std::string name = std::move(in.names[in.next++]);
  return Add(in, name);
}

Status UpperTar::AddWhiteout(const Directory& in, std::string_view name) {
  const TarEntry entry{.name = fmt::format("{}{}{}", in.path, kWhiteoutPrefix, name)};
  ASSIGN_OR_RETURN(pending_, estargz::MakeTarHeader(entry));
  return OkStatus();
}

Status UpperTar::Add(const Directory& in, const std::string& name) {
  const std::string path = in.path + name;
  if (options_.left_out.contains(path)) {
    return OkStatus();
  }
  UniqueFd fd(::openat(in.fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat attributes{};
  if (!fd.valid() || ::fstat(fd.get(), &attributes) != 0) {
    return ErrnoAt(path);
  }
  const mode_t type = attributes.st_mode & S_IFMT;
  if (type == S_IFSOCK) {
    return OkStatus();
  }
  if (type == S_IFCHR && attributes.st_rdev == ::makedev(0, 0)) {
    return AddWhiteout(in, name);
  }
  ASSIGN_OR_RETURN(Xattrs xattrs, ReadXattrs(fd, path));
  const OverlayMarks marks = TakeMarks(xattrs);
  if (marks.is_whiteout) {
    return AddWhiteout(in, name);
  }
  if (marks.needs_below) {
    return Refuse(path,
                  "only a part of it is here, the rest is in the layers below: mount snapshots "
                  "without the overlay options redirect_dir=on and metacopy=on");
  }
  if (name.starts_with(kWhiteoutPrefix)) {
    return Refuse(path, "in a layer this name means that another file is gone: rename it");
  }
  TarEntry entry{
      .name = path,
      .type = TypeOf(attributes.st_mode),
      .mode = static_cast<uint32_t>(attributes.st_mode & 07777),
      .uid = attributes.st_uid,
      .gid = attributes.st_gid,
      .modified_seconds = std::min<int64_t>(attributes.st_mtim.tv_sec,
                                            options_.latest_modified_seconds.value_or(INT64_MAX))};
  if (type != S_IFDIR && attributes.st_nlink > 1) {
    const auto [first, is_new] = linked_.try_emplace({attributes.st_dev, attributes.st_ino}, path);
    if (!is_new) {
      entry.type = TarType::kHardlink;
      entry.link_name = first->second;
      ASSIGN_OR_RETURN(pending_, estargz::MakeTarHeader(entry));
      return OkStatus();
    }
  }
  entry.xattrs = std::move(xattrs);
  if (type == S_IFDIR) {
    entry.name += '/';
  } else if (type == S_IFLNK) {
    ASSIGN_OR_RETURN(entry.link_name, ReadLink(fd, path));
  } else if (type == S_IFCHR || type == S_IFBLK) {
    entry.device_major = ::major(attributes.st_rdev);
    entry.device_minor = ::minor(attributes.st_rdev);
  } else if (type == S_IFREG) {
    entry.size_bytes = static_cast<uint64_t>(attributes.st_size);
  }
  ASSIGN_OR_RETURN(pending_, estargz::MakeTarHeader(entry));
  if (type == S_IFDIR) {
    RETURN_IF_ERROR(Enter(std::move(fd), entry.name));
    path_.back().is_opaque = marks.is_opaque && (!options_.is_below || options_.is_below(path));
  } else if (entry.size_bytes > 0) {
    content_ = UniqueFd(::open(ProcPath(fd).c_str(), O_RDONLY | O_CLOEXEC));
    if (!content_.valid()) {
      return ErrnoAt(path);
    }
    content_path_ = path;
    content_left_ = entry.size_bytes;
    padding_left_ = estargz::TarPadding(entry.size_bytes);
  }
  return OkStatus();
}

}  // namespace starling::diff
