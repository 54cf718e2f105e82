#include "snapshotter/disk_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace starling::snapshotter {
namespace {

constexpr uint64_t kStatBlockBytes = 512;  // of st_blocks, whatever the file system

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

class Walk {
 public:
  explicit Walk(dev_t device) : device_(device) {}

  void Count(const struct stat& entry) {
    const bool linked_again = !S_ISDIR(entry.st_mode) && entry.st_nlink > 1;
    if (linked_again && !seen_.insert(entry.st_ino).second) {
      return;
    }
    usage_.size_bytes += static_cast<uint64_t>(entry.st_blocks) * kStatBlockBytes;
    usage_.inodes += 1;
  }

  // Opens a directory below `parent`; null when it has vanished or is another file system's.
  StatusOr<Directory> Enter(int parent, const char* name) {
    UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat entry{};
    if (!fd.valid() || ::fstat(fd.get(), &entry) != 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
        return Directory();
      }
      return ErrnoError(errno, fmt::format("cannot open directory {}", name));
    }
    if (entry.st_dev != device_) {
      return Directory();
    }
    Directory directory(::fdopendir(fd.get()));
    if (directory == nullptr) {
      return ErrnoError(errno, fmt::format("cannot read directory {}", name));
    }
    fd.Release();
    Count(entry);
    return directory;
  }

  const Usage& usage() const { return usage_; }

 private:
  const dev_t device_;
  std::set<ino_t> seen_;  // of files with several links
  Usage usage_;
};

}  // namespace

StatusOr<Usage> DiskUsage(const std::filesystem::path& directory) {
  struct stat root{};
  if (::lstat(directory.c_str(), &root) != 0) {
    return ErrnoError(errno, fmt::format("cannot look at {}", directory.string()));
  }
  Walk walk(root.st_dev);
  // Open directories from the root down: nothing is found by a path that could change meanwhile.
  std::vector<Directory> stack;
  ASSIGN_OR_RETURN(Directory top, walk.Enter(AT_FDCWD, directory.c_str()));
  if (top != nullptr) {
    stack.push_back(std::move(top));
  }
  while (!stack.empty()) {
    const dirent* entry = ::readdir(stack.back().get());
    if (entry == nullptr) {
      stack.pop_back();
      continue;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") {
      continue;
    }
    struct stat found{};
    const int parent = ::dirfd(stack.back().get());
    if (::fstatat(parent, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (!S_ISDIR(found.st_mode)) {
      walk.Count(found);
      continue;
    }
    ASSIGN_OR_RETURN(Directory below, walk.Enter(parent, entry->d_name));
    if (below != nullptr) {
      stack.push_back(std::move(below));
    }
  }
  return walk.usage();
}

}  // namespace starling::snapshotter
