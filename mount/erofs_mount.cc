#include "mount/erofs_mount.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "fuse/mount_table.h"
#include "fuse/read_ahead.h"

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

/// A file as fsconfig(2) takes it: by its path, or by a descriptor when that is too long.
class FileParameter {
 public:
  static StatusOr<FileParameter> Of(const std::filesystem::path& path) {
    if (path.native().size() <= kMaxParameterBytes) {
      return FileParameter(path, UniqueFd());
    }
    UniqueFd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!file.valid()) {
      return ErrnoError(errno, path.native());
    }
    std::string value = fmt::format("/proc/self/fd/{}", file.get());
    return FileParameter(std::move(value), std::move(file));
  }
  const std::string& value() const { return value_; }

 private:
  FileParameter(std::string value, UniqueFd file)
      : value_(std::move(value)), file_(std::move(file)) {}

  std::string value_;
  UniqueFd file_;
};

Status SetFile(int context, const char* name, const FileParameter& file) {
  if (::fsconfig(context, FSCONFIG_SET_STRING, name, file.value().c_str(), 0) != 0) {
    const int error = errno;
    return MountError(error,
                      fmt::format("erofs: {} {}{}", name, file.value(), KernelMessage(context)));
  }
  return OkStatus();
}

Status SetFlag(int context, const char* name) {
  if (::fsconfig(context, FSCONFIG_SET_FLAG, name, nullptr, 0) != 0) {
    const int error = errno;
    // A flag that the kernel does not know.
    return MountError(error == EINVAL ? EOPNOTSUPP : error,
                      fmt::format("erofs: {}{}", name, KernelMessage(context)));
  }
  return OkStatus();
}

/// All EROFS file systems of the machine, as /sys/class/bdi calls them. A number is not used again.
std::set<std::string> BackingDevices() {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/bdi", error)) {
    if (std::string name = entry.path().filename(); name.starts_with("erofs-")) {
      names.insert(std::move(name));
    }
  }
  return names;
}

/// No call tells which of the devices belongs to a mount: it is the one that was not there before,
/// if that is one.
void SetReadAheadOfNew(const std::set<std::string>& before, uint32_t read_ahead_kib) {
  std::vector<std::string> appeared;
  std::ranges::set_difference(BackingDevices(), before, std::back_inserter(appeared));
  if (appeared.size() == 1) {
    fuse::SetReadAhead(appeared.front(), read_ahead_kib);
  }
}

}  // namespace

StatusOr<UniqueFd> MakeErofsMount(const ErofsImage& image, const ErofsOptions& options) {
  const std::set<std::string> before = BackingDevices();
  const UniqueFd context(::fsopen("erofs", FSOPEN_CLOEXEC));
  if (!context.valid()) {
    return MountError(errno, "erofs: open");
  }
  // The kernel opens them when the mount is made.
  std::vector<FileParameter> files;
  ASSIGN_OR_RETURN(FileParameter index, FileParameter::Of(image.index));
  RETURN_IF_ERROR(SetFile(context.get(), "source", index));
  for (const std::filesystem::path& path : image.data) {
    ASSIGN_OR_RETURN(FileParameter data, FileParameter::Of(path));
    RETURN_IF_ERROR(SetFile(context.get(), "device", data));
    files.push_back(std::move(data));
  }
  if (options.device_reads == ErofsOptions::DeviceReads::kExact) {
    RETURN_IF_ERROR(SetFlag(context.get(), "directio"));
  }
  RETURN_IF_ERROR(SetFlag(context.get(), "ro"));
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    const int error = errno;
    return MountError(error, fmt::format("erofs: mount {}{}", image.index.native(),
                                         KernelMessage(context.get())));
  }
  // Like the FUSE mounts, with setuid programs and device nodes.
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
  if (!mount.valid()) {
    return MountError(errno, fmt::format("erofs: mount {}", image.index.native()));
  }
  SetReadAheadOfNew(before, options.read_ahead_kib);
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
