#include "dockerfile/build/mount_points.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <utility>

#include "base/unique_fd.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::build {
namespace {

/// Where a descriptor leads to, without its root; nothing when that was renamed away.
std::optional<std::string> PathInRoot(int fd, int root) {
  const auto path_of = [](int of) -> std::string {
    std::array<char, PATH_MAX> text{};
    const ssize_t size =
        ::readlink(fmt::format("/proc/self/fd/{}", of).c_str(), text.data(), text.size());
    return size < 0 ? "" : std::string(text.data(), static_cast<size_t>(size));
  };
  const std::string base = path_of(root);
  const std::string path = path_of(fd);
  if (base.empty() || !path.starts_with(base)) {
    return std::nullopt;
  }
  const std::string rest = path.substr(base.size());
  return rest.starts_with('/') ? rest.substr(1) : rest;
}

/// The directory that `path` lies in. No link on the way: nothing of a step's doing can lead
/// elsewhere between the look and the removal.
StatusOr<UniqueFd> OpenParent(int root, const std::string& path) {
  return files::OpenWithoutLinks(root, std::filesystem::path(path).parent_path().native(),
                                 O_PATH | O_DIRECTORY);
}

bool AreSameAttributes(const struct stat& one, const struct stat& other) {
  return one.st_mode == other.st_mode && one.st_uid == other.st_uid && one.st_gid == other.st_gid &&
         one.st_mtim.tv_sec == other.st_mtim.tv_sec && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec;
}

/// Whether a directory says nothing that a layer below does not say as well.
bool IsCopyOfBelow(int copy, const std::filesystem::path& path,
                   const std::vector<std::filesystem::path>& lower) {
  struct stat attributes{};
  if (::fstat(copy, &attributes) != 0 ||
      ::fgetxattr(copy, "trusted.overlay.opaque", nullptr, 0) >= 0) {
    return false;
  }
  return std::any_of(lower.begin(), lower.end(), [&](const std::filesystem::path& directory) {
    struct stat below{};
    return ::lstat((directory / path).c_str(), &below) == 0 && AreSameAttributes(below, attributes);
  });
}

}  // namespace

StatusOr<MountPoints> MountPoints::LookAt(const std::filesystem::path& root,
                                          const std::vector<std::string>& targets) {
  ASSIGN_OR_RETURN(const UniqueFd base, files::OpenRoot(root));
  MountPoints points;
  for (const std::string& target : targets) {
    const std::vector<std::string> components = files::PartsOf(target);
    std::string existing = ".";
    size_t count = 0;
    ASSIGN_OR_RETURN(UniqueFd directory, files::OpenInRoot(base.get(), existing, O_PATH));
    while (count < components.size()) {
      const std::string next = existing + "/" + components[count];
      auto found = files::OpenInRoot(base.get(), next, O_PATH);
      if (!found.ok()) {
        break;
      }
      directory = *std::move(found);
      existing = next;
      ++count;
    }
    if (count == components.size()) {
      continue;
    }
    const std::optional<std::string> parent = PathInRoot(directory.get(), base.get());
    struct stat attributes{};
    if (!parent || ::fstat(directory.get(), &attributes) != 0 || !S_ISDIR(attributes.st_mode)) {
      continue;  // the runtime says what is wrong there
    }
    points.parents_.push_back(
        {.path = *parent, .accessed = attributes.st_atim, .modified = attributes.st_mtim});
    std::string path = *parent;
    for (; count < components.size(); ++count) {
      path += (path.empty() ? "" : "/") + components[count];
      points.missing_.push_back(path);
    }
  }
  return points;
}

Status MountPoints::RemoveFrom(const std::filesystem::path& root) const {
  ASSIGN_OR_RETURN(const UniqueFd base, files::OpenRoot(root));
  for (auto path = missing_.rbegin(); path != missing_.rend(); ++path) {
    const auto parent = OpenParent(base.get(), *path);
    const std::string name = std::filesystem::path(*path).filename();
    struct stat attributes{};
    if (!parent.ok() ||
        ::fstatat(parent->get(), name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (S_ISDIR(attributes.st_mode)) {
      ::unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR);  // fails when it was filled
    } else if (S_ISREG(attributes.st_mode) && attributes.st_size == 0) {
      ::unlinkat(parent->get(), name.c_str(), 0);
    }
  }
  for (const Parent& one : parents_) {
    const std::array<struct timespec, 2> times = {one.accessed, one.modified};
    const auto parent = files::OpenWithoutLinks(base.get(), one.path, O_RDONLY | O_DIRECTORY);
    if (parent.ok()) {
      ::futimens(parent->get(), times.data());
    }
  }
  return OkStatus();
}

Status MountPoints::RemoveCopies(const std::filesystem::path& upper,
                                 const std::vector<std::filesystem::path>& lower) const {
  ASSIGN_OR_RETURN(const UniqueFd base, files::OpenRoot(upper));
  for (const Parent& one : parents_) {
    // Removing one changes the time of the directory around it: all are looked at first.
    std::vector<std::filesystem::path> unchanged;
    for (std::filesystem::path path = one.path; !path.empty(); path = path.parent_path()) {
      const auto copy = files::OpenWithoutLinks(base.get(), path.native(), O_RDONLY | O_DIRECTORY);
      if (!copy.ok() || !IsCopyOfBelow(copy->get(), path, lower)) {
        break;
      }
      unchanged.push_back(path);
    }
    for (const std::filesystem::path& path : unchanged) {
      const auto parent = OpenParent(base.get(), path.native());
      // Fails when something is left in it.
      if (!parent.ok() || ::unlinkat(parent->get(), path.filename().c_str(), AT_REMOVEDIR) != 0) {
        break;
      }
    }
  }
  return OkStatus();
}

}  // namespace starling::dockerfile::build
