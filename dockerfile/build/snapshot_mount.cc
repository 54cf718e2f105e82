#include "dockerfile/build/snapshot_mount.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/child_program.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace starling::dockerfile::build {
namespace {

using containerd::Mount;

constexpr std::string_view kLower = "lowerdir=";
constexpr std::string_view kUpper = "upperdir=";
constexpr std::string_view kWork = "workdir=";
/// mount(2) takes a page of options.
constexpr size_t kMaxOptionBytes = 4000;

bool IsReadOnly(const Mount& mount) {
  return std::find(mount.options.begin(), mount.options.end(), "ro") != mount.options.end();
}

std::vector<std::string> SplitLower(std::string_view list) {
  std::vector<std::string> directories;
  while (!list.empty()) {
    const size_t end = std::min(list.find(':'), list.size());
    directories.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return directories;
}

Status Bind(const Mount& mount, const std::filesystem::path& at) {
  if (::mount(mount.source.c_str(), at.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return ErrnoError(errno, fmt::format("mount {}", mount.source));
  }
  if (IsReadOnly(mount) &&
      ::mount(nullptr, at.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    const Status error = ErrnoError(errno, fmt::format("mount {} to read", mount.source));
    ::umount2(at.c_str(), MNT_DETACH);
    return error;
  }
  return OkStatus();
}

/// With a call for each option, so that there may be any number of directories (Linux 6.8).
Status MountManyLayers(const Mount& mount, const std::filesystem::path& at) {
  const UniqueFd context(::fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.valid()) {
    return ErrnoError(errno, "open an overlay file system");
  }
  const auto set = [&](const char* name, const std::string& value) {
    return ::fsconfig(context.get(), FSCONFIG_SET_STRING, name, value.c_str(), 0) == 0
               ? OkStatus()
               : ErrnoError(errno, fmt::format("overlay: {}={}", name, value));
  };
  for (const std::string& option : mount.options) {
    const size_t equals = option.find('=');
    if (option.starts_with(kLower)) {
      for (const std::string& lower : SplitLower(std::string_view(option).substr(kLower.size()))) {
        RETURN_IF_ERROR(set("lowerdir+", lower));
      }
    } else if (equals != std::string::npos) {
      RETURN_IF_ERROR(set(option.substr(0, equals).c_str(), option.substr(equals + 1)));
    } else if (option != "ro" && option != "rw" &&
               ::fsconfig(context.get(), FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0) != 0) {
      return ErrnoError(errno, fmt::format("overlay: {}", option));
    }
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoError(errno, "make an overlay mount");
  }
  const UniqueFd mounted(
      ::fsmount(context.get(), FSMOUNT_CLOEXEC, IsReadOnly(mount) ? MOUNT_ATTR_RDONLY : 0));
  if (!mounted.valid() ||
      ::move_mount(mounted.get(), "", AT_FDCWD, at.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ErrnoError(errno, fmt::format("mount at {}", at.native()));
  }
  return OkStatus();
}

Status MountOverlay(const Mount& mount, const std::filesystem::path& at) {
  std::string data;
  for (const std::string& option : mount.options) {
    if (option != "ro" && option != "rw") {
      data += (data.empty() ? "" : ",") + option;
    }
  }
  if (data.size() > kMaxOptionBytes) {
    return MountManyLayers(mount, at);
  }
  const unsigned long flags = IsReadOnly(mount) ? MS_RDONLY : 0;
  return ::mount("starling", at.c_str(), "overlay", flags, data.c_str()) == 0
             ? OkStatus()
             : ErrnoError(errno, fmt::format("mount an overlay at {}", at.native()));
}

}  // namespace

std::vector<std::string> OverlayOptions(const Mount& mount) {
  std::vector<std::string> options;
  for (const std::string& option : mount.options) {
    if (!option.starts_with(kLower) && !option.starts_with(kUpper) && !option.starts_with(kWork)) {
      options.push_back(option);
    }
  }
  return options;
}

StatusOr<SnapshotDirectories> DirectoriesOf(const std::vector<Mount>& mounts) {
  SnapshotDirectories directories;
  if (mounts.size() == 1 && mounts[0].type == "bind") {
    if (IsReadOnly(mounts[0])) {
      directories.lower.emplace_back(mounts[0].source);
    } else {
      directories.upper = mounts[0].source;
    }
    return directories;
  }
  if (mounts.size() == 1 && mounts[0].type == "overlay") {
    for (const std::string& option : mounts[0].options) {
      if (option.starts_with(kUpper)) {
        directories.upper = option.substr(kUpper.size());
      } else if (option.starts_with(kLower)) {
        for (std::string& lower : SplitLower(std::string_view(option).substr(kLower.size()))) {
          directories.lower.emplace_back(std::move(lower));
        }
      }
    }
    return directories;
  }
  return MakeError(
      StatusCode::kUnimplemented,
      fmt::format("the snapshotter answers with {} mount{} of type {}, not with an overlay; build "
                  "with --snapshotter stargz or overlayfs",
                  mounts.size(), mounts.size() == 1 ? "" : "s",
                  mounts.empty() ? "none" : mounts[0].type));
}

StatusOr<SnapshotMount> SnapshotMount::Make(const std::vector<Mount>& mounts,
                                            std::filesystem::path at) {
  RETURN_IF_ERROR(DirectoriesOf(mounts).status());
  if (::mkdir(at.c_str(), 0700) != 0) {
    return ErrnoError(errno, at.native());
  }
  const Status mounted =
      mounts[0].type == "bind" ? Bind(mounts[0], at) : MountOverlay(mounts[0], at);
  if (!mounted.ok()) {
    ::rmdir(at.c_str());
    return mounted;
  }
  return SnapshotMount(std::move(at));
}

Status SnapshotMount::Unmount() {
  if (at_.empty()) {
    return OkStatus();
  }
  // Of another step, it would hold what this one has just closed.
  const NoProgramStarts quiet;
  if (::umount2(at_.c_str(), UMOUNT_NOFOLLOW) != 0) {
    return ErrnoError(errno, fmt::format("unmount {}", at_.native()));
  }
  ::rmdir(at_.c_str());
  at_.clear();
  return OkStatus();
}

SnapshotMount::~SnapshotMount() {
  if (at_.empty() || Unmount().ok()) {
    return;
  }
  log::Warning("a step's files are still in use", {{"path", at_.native()}});
  ::umount2(at_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  ::rmdir(at_.c_str());
}

}  // namespace starling::dockerfile::build
