#include "mount/erofs_mount.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "fuse/mount_table.h"

namespace starling::mount {
namespace {

/// Since Linux 6.5. Source: include/uapi/linux/mount.h.
constexpr unsigned kMoveMountBeneath = 0x200;
/// What fsconfig(2) takes as a text.
constexpr size_t kMaxParameterBytes = 255;

/// The first message that the kernel left in a file system context, or nothing. Source: fsopen
/// in Linux: messages are read from its descriptor, with a letter and a space in front.
std::string KernelMessage(int context) {
  std::array<char, 512> text{};
  const ssize_t size = ::read(context, text.data(), text.size());
  if (size <= 2) {
    return "";
  }
  std::string message(text.data() + 2, static_cast<size_t>(size - 2));
  return ": " + message.substr(0, message.find('\n'));
}

Status MountError(int error_number, std::string_view what) {
  if (error_number == ENOSYS || error_number == ENODEV || error_number == ENOTBLK ||
      error_number == EOPNOTSUPP) {
    return MakeError(StatusCode::kUnimplemented,
                     fmt::format("{}: not in this kernel ({})", what,
                                 MessageOf(ErrnoError(error_number, "error"))));
  }
  return ErrnoError(error_number, what);
}

Status SetParameter(int context, const char* name, const std::string& value) {
  if (value.size() > kMaxParameterBytes) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("erofs: {} is longer than {} bytes", value, kMaxParameterBytes));
  }
  if (::fsconfig(context, FSCONFIG_SET_STRING, name, value.c_str(), 0) != 0) {
    const int error = errno;
    return MountError(error, fmt::format("erofs: {} {}{}", name, value, KernelMessage(context)));
  }
  return OkStatus();
}

}  // namespace

StatusOr<UniqueFd> MakeErofsMount(const ErofsImage& image) {
  const UniqueFd context(::fsopen("erofs", FSOPEN_CLOEXEC));
  if (!context.valid()) {
    return MountError(errno, "erofs: open");
  }
  RETURN_IF_ERROR(SetParameter(context.get(), "source", image.index));
  RETURN_IF_ERROR(SetParameter(context.get(), "device", image.data));
  if (::fsconfig(context.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    const int error = errno;
    return MountError(error, fmt::format("erofs: mount {}{}", image.index.native(),
                                         KernelMessage(context.get())));
  }
  // Like the FUSE mounts, with setuid programs and device nodes.
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
  if (!mount.valid()) {
    return MountError(errno, fmt::format("erofs: mount {}", image.index.native()));
  }
  return mount;
}

Status AttachMount(int mount, const std::filesystem::path& directory) {
  if (::move_mount(mount, "", AT_FDCWD, directory.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return MountError(errno, fmt::format("mount at {}", directory.native()));
  }
  return OkStatus();
}

Status ReplaceMount(int mount, const std::filesystem::path& directory) {
  if (::move_mount(mount, "", AT_FDCWD, directory.c_str(),
                   MOVE_MOUNT_F_EMPTY_PATH | kMoveMountBeneath) != 0) {
    const int error = errno;
    // A flag that the kernel does not know.
    return MountError(error == EINVAL ? EOPNOTSUPP : error,
                      fmt::format("mount beneath {}", directory.native()));
  }
  return DetachMount(directory);
}

Status DetachMount(const std::filesystem::path& directory) {
  if (::umount2(directory.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
    return ErrnoError(errno, fmt::format("unmount {}", directory.native()));
  }
  return OkStatus();
}

Status DetachMountsBelow(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(std::vector<std::filesystem::path> mounts, fuse::MountsBelow(directory));
  std::ranges::reverse(mounts);  // what lies on others goes first
  Status first;
  for (const std::filesystem::path& mount : mounts) {
    first.Update(DetachMount(mount));
  }
  return first;
}

}  // namespace starling::mount
