#include "dockerfile/files/root_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <memory>
#include <utility>

#include "base/copy_fd.h"

namespace starling::dockerfile::files {
namespace {

/// As the kernel's own.
constexpr int kMaxLinks = 40;
/// Deeper paths are refused: each level keeps a descriptor open.
constexpr size_t kMaxDepth = 500;
constexpr mode_t kMadeMode = 0755;

StatusOr<UniqueFd> OpenResolved(int directory, std::string_view path, uint64_t flags,
                                uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  const std::string text(path.empty() ? "." : path);
  for (;;) {
    UniqueFd found(
        static_cast<int>(::syscall(SYS_openat2, directory, text.c_str(), &how, sizeof(how))));
    if (found.valid()) {
      return found;
    }
    // Somebody renamed something on the way: openat2 asks to be called again.
    if (errno != EAGAIN && errno != EINTR) {
      return ErrnoError(errno, text);
    }
  }
}

StatusOr<std::string> ReadLink(int directory, const std::string& name) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  return size < 0 ? StatusOr<std::string>(ErrnoError(errno, name))
                  : std::string(target.data(), static_cast<size_t>(size));
}

Status RemoveBelow(int directory, const std::string& name, size_t depth) {
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) {
    return OkStatus();
  }
  if (errno != EISDIR && errno != EPERM) {
    return ErrnoError(errno, name);
  }
  if (depth == kMaxDepth) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: deeper than {} directories", name, kMaxDepth));
  }
  {
    const UniqueFd opened(
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened.valid()) {
      return ErrnoError(errno, name);
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(opened.get()));
    for (const std::string& one : names) {
      RETURN_IF_ERROR(RemoveBelow(opened.get(), one, depth + 1));
    }
  }
  return ::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 ? OkStatus()
                                                                : ErrnoError(errno, name);
}

}  // namespace

StatusOr<UniqueFd> OpenRoot(const std::filesystem::path& root) {
  UniqueFd opened(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return opened.valid() ? StatusOr<UniqueFd>(std::move(opened)) : ErrnoError(errno, root.native());
}

StatusOr<UniqueFd> OpenInRoot(int root, std::string_view path, uint64_t flags) {
  return OpenResolved(root, path, flags, RESOLVE_IN_ROOT);
}

UniqueFd OpenProgram(int root, std::string_view path) {
  auto file = OpenInRoot(root, path, O_PATH | O_CLOEXEC);
  struct stat info{};
  const bool is_program = file.ok() && ::fstat(file->get(), &info) == 0 && S_ISREG(info.st_mode) &&
                          (info.st_mode & 0111U) != 0;
  return is_program ? *std::move(file) : UniqueFd();
}

StatusOr<UniqueFd> OpenWithoutLinks(int directory, std::string_view path, uint64_t flags) {
  return OpenResolved(directory, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

StatusOr<std::vector<std::string>> NamesIn(int directory) {
  ASSIGN_OR_RETURN(UniqueFd copy, CopyFd(directory));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(copy.get()), ::closedir);
  if (!entries) {
    return ErrnoError(errno, "directory");
  }
  copy.Release();
  // The copy shares its position with others.
  ::rewinddir(entries.get());
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  if (errno != 0) {
    return ErrnoError(errno, "directory");
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status RemoveTree(int directory, const std::string& name) {
  return RemoveBelow(directory, name, 0);
}

std::vector<std::string> PartsOf(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (!part.empty() && part != ".") {
      parts.emplace_back(part);
    }
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

StatusOr<UniqueFd> EnsureDirectory(int root, std::string_view path, const OnMade& on_made) {
  const std::vector<std::string> parts = PartsOf(path);
  std::deque<std::string> left(parts.begin(), parts.end());
  // The directories on the way, so that ".." goes back where it came from and never above the root.
  std::vector<UniqueFd> way;
  ASSIGN_OR_RETURN(UniqueFd start, CopyFd(root));
  way.push_back(std::move(start));
  int links = 0;
  while (!left.empty()) {
    const std::string name = std::move(left.front());
    left.pop_front();
    if (name == "..") {
      if (way.size() > 1) {
        way.pop_back();
      }
      continue;
    }
    const int directory = way.back().get();
    bool is_new = false;
    if (::mkdirat(directory, name.c_str(), kMadeMode) == 0) {
      is_new = true;
    } else if (errno != EEXIST) {
      return ErrnoError(errno, fmt::format("{}: {}", path, name));
    }
    struct stat attributes{};
    if (::fstatat(directory, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, fmt::format("{}: {}", path, name));
    }
    if (S_ISLNK(attributes.st_mode)) {
      if (++links > kMaxLinks) {
        return ErrnoError(ELOOP, std::string(path));
      }
      ASSIGN_OR_RETURN(const std::string target, ReadLink(directory, name));
      if (target.starts_with('/')) {
        way.resize(1);
      }
      const std::vector<std::string> more = PartsOf(target);
      left.insert(left.begin(), more.begin(), more.end());
      continue;
    }
    if (!S_ISDIR(attributes.st_mode)) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{}: {} is there and is no directory", path, name));
    }
    UniqueFd next(
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) {
      return ErrnoError(errno, fmt::format("{}: {}", path, name));
    }
    if (is_new) {
      if (::fchmod(next.get(), kMadeMode) != 0) {
        return ErrnoError(errno, fmt::format("{}: {}", path, name));
      }
      if (on_made) {
        RETURN_IF_ERROR(on_made(next.get()));
      }
    }
    way.push_back(std::move(next));
    if (way.size() > kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("{}: deeper than {} directories", path, kMaxDepth));
    }
  }
  return std::move(way.back());
}

}  // namespace starling::dockerfile::files
