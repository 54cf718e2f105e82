#include "keeper/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/unique_fd.h"
#include "keeper/send_fds.h"

namespace starling::keeper {
namespace {

constexpr int kFirstPassedFd = 3;
constexpr int kMaxPassedFds = 1024;

std::optional<int> NumberFromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) {
    return std::nullopt;
  }
  int number = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  return error == std::errc() && stop == end ? std::optional<int>(number) : std::nullopt;
}

/// The next of several names that colons separate.
std::string TakeName(std::string_view& names) {
  const size_t colon = names.find(':');
  std::string name(names.substr(0, colon));
  names.remove_prefix(colon == std::string_view::npos ? names.size() : colon + 1);
  return name;
}

}  // namespace

Status NotifyServiceManager(std::string_view state, std::span<const int> fds) {
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
  return Annotate(
      SendWithFds(fd.get(), AsBytes(state), fds,
                  {.address = reinterpret_cast<const sockaddr*>(&address), .size_bytes = size}),
      fmt::format("cannot notify {}", path));
}

StatusOr<std::vector<PassedDescriptor>> TakePassedDescriptors() {
  const std::optional<int> pid = NumberFromEnvironment("LISTEN_PID");
  const int count = NumberFromEnvironment("LISTEN_FDS").value_or(0);
  const char* text = std::getenv("LISTEN_FDNAMES");
  const std::string all_names = text == nullptr ? "" : text;
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    ::unsetenv(name);
  }
  std::vector<PassedDescriptor> passed;
  if (pid != ::getpid()) {
    return passed;
  }
  if (count < 0 || count > kMaxPassedFds) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("LISTEN_FDS={} cannot be", count));
  }
  std::string_view names = all_names;
  for (int fd = kFirstPassedFd; fd < kFirstPassedFd + count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return ErrnoError(errno, fmt::format("LISTEN_FDS={}: descriptor {}", count, fd));
    }
    passed.push_back({.name = TakeName(names), .fd = UniqueFd(fd)});
  }
  return passed;
}

}  // namespace starling::keeper
