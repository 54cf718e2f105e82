#include "dockerfile/files/entry_files.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string_view>

namespace starling::dockerfile::files {
namespace {

constexpr size_t kMaxXattrListBytes = 64 << 10;  // XATTR_LIST_MAX
constexpr size_t kMaxXattrBytes = 64 << 10;      // XATTR_SIZE_MAX
constexpr size_t kPieceBytes = 1 << 20;
constexpr std::string_view kCapability = "security.capability";

bool IsKept(std::string_view name) {
  return name == kCapability || (name.starts_with("user.") && !name.starts_with("user.overlay."));
}

std::string PathOf(const Entry& entry) {
  return entry.name.empty() ? fmt::format("/proc/self/fd/{}", entry.directory)
                            : fmt::format("/proc/self/fd/{}/{}", entry.directory, entry.name);
}

/// One stretch of data. False when the file systems cannot do it among themselves.
StatusOr<bool> CopyRange(int from, int to, off_t begin, off_t end) {
  off_t in = begin;
  off_t out = begin;
  while (in < end) {
    const ssize_t copied = ::copy_file_range(from, &in, to, &out, static_cast<size_t>(end - in), 0);
    if (copied > 0) {
      continue;
    }
    if (copied == 0) {
      return true;  // it has become shorter
    }
    if (errno == EINTR) {
      continue;
    }
    if (in == begin && (errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                        errno == EOPNOTSUPP || errno == EPERM)) {
      return false;
    }
    return ErrnoError(errno, "copy");
  }
  return true;
}

Status CopyByHand(int from, int to, off_t begin, off_t end) {
  std::string piece(std::min<size_t>(kPieceBytes, static_cast<size_t>(end - begin)), '\0');
  while (begin < end) {
    const size_t want = std::min<size_t>(piece.size(), static_cast<size_t>(end - begin));
    const ssize_t got = ::pread(from, piece.data(), want, begin);
    if (got == 0) {
      return OkStatus();
    }
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoError(errno, "read");
    }
    for (ssize_t written = 0; written < got;) {
      const ssize_t one =
          ::pwrite(to, piece.data() + written, static_cast<size_t>(got - written), begin + written);
      if (one < 0 && errno != EINTR) {
        return ErrnoError(errno, "write");
      }
      written += std::max<ssize_t>(one, 0);
    }
    begin += got;
  }
  return OkStatus();
}

}  // namespace

StatusOr<UniqueFd> OpenEntry(const Entry& entry, int flags) {
  UniqueFd opened;
  if (entry.name.empty()) {
    opened.Reset(::open(PathOf(entry).c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  } else {
    opened.Reset(::openat(entry.directory, entry.name.c_str(),
                          flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  }
  return opened.valid() ? StatusOr<UniqueFd>(std::move(opened)) : ErrnoError(errno, entry.path);
}

StatusOr<std::string> ReadLinkOf(const Entry& entry) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size =
      ::readlinkat(entry.directory, entry.name.c_str(), target.data(), target.size());
  if (size < 0) {
    return ErrnoError(errno, entry.path);
  }
  if (static_cast<size_t>(size) == target.size()) {
    return MakeError(StatusCode::kResourceExhausted, fmt::format("{}: a long link", entry.path));
  }
  return std::string(target.data(), static_cast<size_t>(size));
}

StatusOr<Xattrs> ReadXattrs(const Entry& entry) {
  const std::string path = PathOf(entry);
  // An open file's own path is a link to it.
  const bool follow = entry.name.empty();
  // Most files have none: a look with a small buffer first.
  std::array<char, 256> few{};
  std::string names;
  ssize_t size = follow ? ::listxattr(path.c_str(), few.data(), few.size())
                        : ::llistxattr(path.c_str(), few.data(), few.size());
  if (size >= 0) {
    names.assign(few.data(), static_cast<size_t>(size));
  } else if (errno == ERANGE) {
    names.resize(kMaxXattrListBytes);
    size = follow ? ::listxattr(path.c_str(), names.data(), names.size())
                  : ::llistxattr(path.c_str(), names.data(), names.size());
    names.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  }
  Xattrs xattrs;
  if (size < 0) {
    return errno == ENOTSUP ? StatusOr<Xattrs>(xattrs) : ErrnoError(errno, entry.path);
  }
  for (std::string_view left = names; !left.empty();) {
    const std::string name(left.substr(0, left.find('\0')));
    left.remove_prefix(name.size() + 1);
    if (!IsKept(name)) {
      continue;
    }
    Bytes value(kMaxXattrBytes);
    const ssize_t length =
        follow ? ::getxattr(path.c_str(), name.c_str(), value.data(), value.size())
               : ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (length < 0) {
      return ErrnoError(errno, fmt::format("{}: attribute {}", entry.path, name));
    }
    value.resize(static_cast<size_t>(length));
    xattrs[name] = std::move(value);
  }
  return xattrs;
}

StatusOr<uint64_t> CopyContent(int from, int to, uint64_t size_bytes) {
  if (size_bytes == 0) {
    return uint64_t{0};
  }
  if (::ioctl(to, FICLONE, from) == 0) {
    return size_bytes;
  }
  const auto size = static_cast<off_t>(size_bytes);
  bool by_kernel = true;
  for (off_t at = 0; at < size;) {
    off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0) {
      if (errno == ENXIO) {
        break;  // a hole up to the end
      }
      begin = at;  // a file system that knows no holes
    }
    off_t end = ::lseek(from, begin, SEEK_HOLE);
    if (end < 0 || end > size) {
      end = size;
    }
    if (begin >= end) {
      break;
    }
    if (by_kernel) {
      ASSIGN_OR_RETURN(by_kernel, CopyRange(from, to, begin, end));
    }
    if (!by_kernel) {
      RETURN_IF_ERROR(CopyByHand(from, to, begin, end));
    }
    at = end;
  }
  if (::ftruncate(to, size) != 0) {
    return ErrnoError(errno, "size");
  }
  return size_bytes;
}

}  // namespace starling::dockerfile::files
