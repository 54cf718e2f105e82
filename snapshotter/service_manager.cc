#include "snapshotter/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/unique_fd.h"

namespace starling::snapshotter {

Status NotifyServiceManager(std::string_view state) {
  const char* text = std::getenv("NOTIFY_SOCKET");
  if (text == nullptr || *text == '\0') {
    return OkStatus();
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string_view path = text;
  if ((path.front() != '/' && path.front() != '@') || path.size() >= sizeof(address.sun_path)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("NOTIFY_SOCKET={}: neither a path nor an abstract name", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') {
    address.sun_path[0] = '\0';
  }
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "socket");
  }
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), size) < 0) {
    return ErrnoError(errno, fmt::format("cannot notify {}", path));
  }
  return OkStatus();
}

}  // namespace starling::snapshotter
