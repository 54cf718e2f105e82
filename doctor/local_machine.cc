#include "doctor/local_machine.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/file_system.h"
#include "base/io.h"
#include "base/temp_dir.h"
#include "base/user_namespace.h"
#include "setup/line_edit.h"

namespace starling::doctor {
namespace {

constexpr const char* kScratch = ".starling-doctor-";
constexpr uint64_t kMaxMountTable = 16 << 20;

// Source: include/uapi/linux/magic.h, and the file systems' own.
constexpr std::array<std::pair<uint32_t, const char*>, 17> kTypes = {{{0xef53, "ext4"},
                                                                      {0x58465342, "xfs"},
                                                                      {0x9123683e, "btrfs"},
                                                                      {0x01021994, "tmpfs"},
                                                                      {0x858458f6, "ramfs"},
                                                                      {0x794c7630, "overlay"},
                                                                      {0x6969, "nfs"},
                                                                      {0x65735546, "fuse"},
                                                                      {0x2fc12fc1, "zfs"},
                                                                      {0xff534d42, "cifs"},
                                                                      {0xfe534d42, "smb2"},
                                                                      {0xf2f52010, "f2fs"},
                                                                      {0xca451a4e, "bcachefs"},
                                                                      {0xe0f5e1e2, "erofs"},
                                                                      {0x73717368, "squashfs"},
                                                                      {0x00c36400, "ceph"},
                                                                      {0x01021997, "9p"}}};

std::filesystem::path NearestDirectory(std::filesystem::path path) {
  std::error_code error;
  while (!std::filesystem::is_directory(path, error) && path != path.parent_path()) {
    path = path.parent_path();
  }
  return path;
}

/// The mount that a path is on, by its name.
std::string MountPointOf(const std::filesystem::path& path) {
  std::error_code error;
  const std::string whole = std::filesystem::canonical(path, error).native();
  const auto file = RealFileSystem().Open("/proc/self/mountinfo", O_RDONLY, 0);
  if (error || !file.ok()) {
    return "";
  }
  FdSource source(file->get());
  const StatusOr<Bytes> table = ReadAll(source, kMaxMountTable);
  if (!table.ok()) {
    return "";
  }
  std::string best;
  for (const std::string_view line : setup::LinesOf(AsText(*table))) {
    size_t begin = 0;
    for (int field = 0; field < 4 && begin != std::string_view::npos; ++field) {
      begin = line.find(' ', begin);
      begin += begin == std::string_view::npos ? 0 : 1;
    }
    if (begin == std::string_view::npos) {
      continue;
    }
    const std::string_view point = line.substr(begin, line.find(' ', begin) - begin);
    const bool is_above =
        point == "/" ||
        (whole.starts_with(point) && (whole.size() == point.size() || whole[point.size()] == '/'));
    if (is_above && point.size() >= best.size()) {
      best = point;
    }
  }
  return best;
}

Status Unknown(int error_number, const std::string& what) {
  if (error_number == ENODEV || error_number == ENOSYS) {
    return MakeError(StatusCode::kUnimplemented, what + ": not in this kernel");
  }
  return ErrnoError(error_number, what);
}

/// The process that listens on a unix socket.
StatusOr<pid_t> ListenerOf(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof(address.sun_path)) {
    return MakeError(StatusCode::kInvalidArgument, "too long for a socket: " + socket);
  }
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const UniqueFd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection.valid() ||
      ::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
          0) {
    return ErrnoError(errno, socket);
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) {
    return MakeError(StatusCode::kUnavailable, "nobody known listens on " + socket);
  }
  return peer.pid;
}

StatusOr<std::pair<dev_t, ino_t>> MountsOf(const std::string& socket) {
  ASSIGN_OR_RETURN(const pid_t pid, ListenerOf(socket));
  const std::string path = fmt::format("/proc/{}/ns/mnt", pid);
  struct stat found{};
  if (::stat(path.c_str(), &found) != 0) {
    return ErrnoError(errno, path);
  }
  return std::pair(found.st_dev, found.st_ino);
}

}  // namespace

bool LocalMachine::IsRoot() { return ::geteuid() == 0; }

std::string LocalMachine::KernelRelease() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "";
}

Status LocalMachine::HasFileSystem(const std::string& name) {
  const UniqueFd context(::fsopen(name.c_str(), FSOPEN_CLOEXEC));
  return context.valid() ? OkStatus() : Unknown(errno, name);
}

Status LocalMachine::OpenFuseDevice() {
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  return device.valid() ? OkStatus() : ErrnoError(errno, "/dev/fuse");
}

StatusOr<Volume> LocalMachine::VolumeAt(const std::string& path) {
  const std::filesystem::path directory = NearestDirectory(path);
  struct statfs found{};
  if (::statfs(directory.c_str(), &found) != 0) {
    return ErrnoError(errno, directory.native());
  }
  const auto magic = static_cast<uint32_t>(found.f_type);
  const auto* const type =
      std::ranges::find(kTypes, magic, &std::pair<uint32_t, const char*>::first);
  const auto block = static_cast<uint64_t>(found.f_bsize);
  return Volume{.type = type == kTypes.end() ? fmt::format("{:#x}", magic) : type->second,
                .mount_point = MountPointOf(directory),
                .total_bytes = found.f_blocks * block,
                .free_bytes = found.f_bavail * block,
                .total_inodes = found.f_files,
                .free_inodes = found.f_ffree,
                .is_read_only = (found.f_flags & ST_RDONLY) != 0};
}

Status LocalMachine::OverlayAt(const std::string& path) {
  ASSIGN_OR_RETURN(const TempDir scratch, TempDir::Make(NearestDirectory(path), kScratch));
  for (const char* name : {"lower", "upper", "work"}) {
    RETURN_IF_ERROR(MakeDirectories(scratch.path() / name, 0700));
  }
  const UniqueFd context(::fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.valid()) {
    return Unknown(errno, "overlay");
  }
  for (const auto& [option, name] : {std::pair{"lowerdir", "lower"}, std::pair{"upperdir", "upper"},
                                     std::pair{"workdir", "work"}}) {
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, option, (scratch.path() / name).c_str(),
                   0) != 0) {
      return ErrnoError(errno, option);
    }
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoError(errno, "an overlay with its upper directory there");
  }
  const UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!mount.valid()) {
    return ErrnoError(errno, "an overlay with its upper directory there");
  }
  const UniqueFd file(::openat(mount.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return file.valid() ? OkStatus() : ErrnoError(errno, "a file of an overlay there");
}

bool LocalMachine::SharesBlocksAt(const std::string& path) {
  const std::filesystem::path directory = NearestDirectory(path);
  const StatusOr<TempDir> scratch = TempDir::Make(directory, kScratch);
  struct statfs found{};
  if (!scratch.ok() || ::statfs(directory.c_str(), &found) != 0) {
    return false;
  }
  FileSystem& files = RealFileSystem();
  const auto from = files.Open(scratch->path() / "from", O_RDWR | O_CREAT, 0600);
  const auto to = files.Open(scratch->path() / "to", O_RDWR | O_CREAT, 0600);
  const auto size = static_cast<uint64_t>(found.f_bsize);
  return from.ok() && to.ok() && files.WriteAt(from->get(), 0, Bytes(size, std::byte{1})).ok() &&
         files.CloneRange(from->get(), 0, to->get(), 0, size).ok();
}

bool LocalMachine::MapsIdsAt(const std::string& path) {
  const IdRange range{.inside = 0, .outside = 100000, .count = 65536};
  const StatusOr<UniqueFd> users = MakeUserNamespace(std::span(&range, 1), std::span(&range, 1));
  const UniqueFd tree(
      ::open_tree(AT_FDCWD, NearestDirectory(path).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!users.ok() || !tree.valid()) {
    return false;
  }
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(users->get());
  return ::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) == 0;
}

StatusOr<bool> LocalMachine::ShareMounts(const std::string& socket, const std::string& other) {
  ASSIGN_OR_RETURN(const auto one, MountsOf(socket));
  ASSIGN_OR_RETURN(const auto two, MountsOf(other));
  return one == two;
}

}  // namespace starling::doctor
