#include "base/file_system.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace starling {
namespace {

class KernelFileSystem : public FileSystem {
 public:
  StatusOr<UniqueFd> Open(const std::filesystem::path& path, int flags, mode_t mode) override {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (!fd.valid()) {
      return ErrnoError(errno, fmt::format("open {}", path.string()));
    }
    return fd;
  }

  Status WriteAt(int fd, uint64_t file_offset, ByteSpan bytes) override {
    while (!bytes.empty()) {
      const ssize_t count =
          ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(file_offset));
      if (count < 0) {
        if (errno == EINTR) {
          continue;
        }
        return ErrnoError(errno, "write");
      }
      file_offset += static_cast<uint64_t>(count);
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return OkStatus();
  }

  Status ReadAt(int fd, uint64_t file_offset, std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(file_offset));
      if (count < 0) {
        if (errno == EINTR) {
          continue;
        }
        return ErrnoError(errno, "read");
      }
      if (count == 0) {
        return MakeError(StatusCode::kOutOfRange, "read past the end of the file");
      }
      file_offset += static_cast<uint64_t>(count);
      out = out.subspan(static_cast<size_t>(count));
    }
    return OkStatus();
  }

  StatusOr<size_t> ReadCached(int fd, uint64_t file_offset, std::span<std::byte> out) override {
    const iovec part{.iov_base = out.data(), .iov_len = out.size()};
    const ssize_t count = ::preadv2(fd, &part, 1, static_cast<off_t>(file_offset), RWF_NOWAIT);
    if (count < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
      return MakeError(StatusCode::kUnimplemented, "the file system always waits");
    }
    if (count == 0 && !out.empty()) {
      return MakeError(StatusCode::kOutOfRange, "read past the end of the file");
    }
    // EAGAIN, or an error that ReadAt meets, too.
    return static_cast<size_t>(std::max<ssize_t>(count, 0));
  }

  void ReadAhead(int fd, uint64_t file_offset, uint64_t size_bytes) override {
    // Of a longer range the kernel may take the beginning only: what one request of the device
    // holds.
    constexpr uint64_t kStepBytes = uint64_t{128} << 10;
    for (uint64_t done = 0; done < size_bytes; done += kStepBytes) {
      ::posix_fadvise(fd, static_cast<off_t>(file_offset + done),
                      static_cast<off_t>(std::min(kStepBytes, size_bytes - done)),
                      POSIX_FADV_WILLNEED);
    }
  }

  Status Resize(int fd, uint64_t size_bytes) override {
    if (::ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) {
      return ErrnoError(errno, "resize");
    }
    return OkStatus();
  }

  Status SyncData(int fd) override {
    if (::fdatasync(fd) != 0) {
      return ErrnoError(errno, "fdatasync");
    }
    return OkStatus();
  }

  Status Rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoError(errno, fmt::format("rename {} to {}", from.string(), to.string()));
    }
    return OkStatus();
  }

  Status CloneRange(int from, uint64_t from_offset, int to, uint64_t to_offset,
                    uint64_t size_bytes) override {
    const file_clone_range range{.src_fd = from,
                                 .src_offset = from_offset,
                                 .src_length = size_bytes,
                                 .dest_offset = to_offset};
    if (::ioctl(to, FICLONERANGE, &range) == 0) {
      return OkStatus();
    }
    // EINVAL: the ranges are no blocks of this file system.
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL) {
      return MakeError(StatusCode::kUnimplemented, "the files cannot share blocks");
    }
    return ErrnoError(errno, "clone a range");
  }

  Status PunchHole(int fd, uint64_t file_offset, uint64_t size_bytes) override {
    if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(file_offset),
                    static_cast<off_t>(size_bytes)) != 0) {
      return ErrnoError(errno, "punch a hole");
    }
    return OkStatus();
  }
};

/// An empty file that nobody else has until it is closed, or has another name.
StatusOr<UniqueFd> OpenAlone(FileSystem& files, const std::filesystem::path& path, mode_t mode) {
  for (;;) {
    ASSIGN_OR_RETURN(UniqueFd fd, files.Open(path, O_WRONLY | O_CREAT, mode));
    while (::flock(fd.get(), LOCK_EX) != 0) {
      if (errno != EINTR) {
        return ErrnoError(errno, fmt::format("lock {}", path.string()));
      }
    }
    struct stat locked{};
    struct stat named{};
    if (::fstat(fd.get(), &locked) != 0) {
      return ErrnoError(errno, fmt::format("stat {}", path.string()));
    }
    if (::stat(path.c_str(), &named) != 0 || named.st_ino != locked.st_ino) {
      continue;  // whoever had it has renamed or removed it
    }
    if (locked.st_size != 0 && ::ftruncate(fd.get(), 0) != 0) {
      return ErrnoError(errno, fmt::format("truncate {}", path.string()));
    }
    return fd;
  }
}

}  // namespace

FileSystem& RealFileSystem() {
  static KernelFileSystem files;
  return files;
}

StatusOr<Bytes> ReadFile(FileSystem& files, const std::filesystem::path& path,
                         uint64_t limit_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(path, O_RDONLY, 0));
  struct stat attributes{};
  if (::fstat(fd.get(), &attributes) != 0) {
    return ErrnoError(errno, fmt::format("stat {}", path.string()));
  }
  const auto size_bytes = static_cast<uint64_t>(attributes.st_size);
  if (size_bytes > limit_bytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("{}: {} bytes, at most {} are read", path.string(), size_bytes, limit_bytes));
  }
  Bytes bytes(size_bytes);
  RETURN_IF_ERROR(Annotate(files.ReadAt(fd.get(), 0, bytes), path.string()));
  return bytes;
}

Status WriteFileAtomically(FileSystem& files, const std::filesystem::path& path, ByteSpan bytes,
                           mode_t mode) {
  const std::filesystem::path unfinished = path.string() + ".new";
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenAlone(files, unfinished, mode));
  Status written = files.WriteAt(fd.get(), 0, bytes);
  if (written.ok()) {
    written = files.SyncData(fd.get());
  }
  if (written.ok()) {
    written = files.Rename(unfinished, path);
  }
  if (!written.ok()) {
    ::unlink(unfinished.c_str());
    return Annotate(written, path.string());
  }
  return OkStatus();
}

Status MakeDirectories(const std::filesystem::path& path, mode_t mode) {
  if (path.has_parent_path() && path.parent_path() != path) {
    struct stat attributes{};
    if (::stat(path.parent_path().c_str(), &attributes) != 0) {
      RETURN_IF_ERROR(MakeDirectories(path.parent_path(), mode));
    }
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoError(errno, fmt::format("make directory {}", path.string()));
  }
  return OkStatus();
}

}  // namespace starling
