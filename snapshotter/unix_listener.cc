#include "snapshotter/unix_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/file_system.h"

namespace starling::snapshotter {
namespace {

constexpr mode_t kDirectoryMode = 0711;
constexpr mode_t kSocketMode = 0600;

StatusOr<sockaddr_un> AddressOf(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.empty() || text.size() >= sizeof(address.sun_path)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("socket path \"{}\": must have 1 to {} bytes", text,
                                 sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "socket");
  }
  return fd;
}

// Deletes a socket that nobody answers on. OK when there is nothing at `path`.
Status ClearStale(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? OkStatus()
                           : ErrnoError(errno, fmt::format("cannot look at {}", path.string()));
  }
  if (!S_ISSOCK(found.st_mode)) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("{} exists and is no socket: choose another address", path.string()));
  }
  ASSIGN_OR_RETURN(const UniqueFd probe, NewSocket());
  // EAGAIN means a full backlog: somebody is there.
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno != ECONNREFUSED) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("another process listens on {}", path.string()));
  }
  if (::unlink(path.c_str()) != 0) {
    return ErrnoError(errno, fmt::format("cannot delete the stale socket {}", path.string()));
  }
  return OkStatus();
}

bool IsListeningUnixSocket(int fd) {
  int listening = 0;
  int domain = 0;
  socklen_t size = sizeof(int);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
    return false;
  }
  size = sizeof(int);
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && listening == 1 &&
         domain == AF_UNIX;
}

}  // namespace

StatusOr<UnixListener> UnixListener::Bind(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  if (path.has_parent_path()) {
    RETURN_IF_ERROR(MakeDirectories(path.parent_path(), kDirectoryMode));
  }
  RETURN_IF_ERROR(ClearStale(path, address));
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  // Before bind, so that the file never has another mode.
  if (::fchmod(fd.get(), kSocketMode) != 0) {
    return ErrnoError(errno, "fchmod of a socket");
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoError(errno, fmt::format("cannot bind {}", path.string()));
  }
  UnixListener listener(std::move(fd), path);
  if (::listen(listener.fd(), SOMAXCONN) != 0) {
    return ErrnoError(errno, fmt::format("cannot listen on {}", path.string()));
  }
  return listener;
}

StatusOr<UnixListener> UnixListener::Adopt(UniqueFd fd) {
  if (!IsListeningUnixSocket(fd.get())) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("descriptor {} is no listening unix socket", fd.get()));
  }
  if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoError(errno, "fcntl of a listening socket");
  }
  return UnixListener(std::move(fd), {});
}

UnixListener::~UnixListener() {
  if (fd_.valid() && !path_.empty()) {
    ::unlink(path_.c_str());
  }
}

}  // namespace starling::snapshotter
