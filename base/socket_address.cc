#include "base/socket_address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <optional>

namespace starling {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kBacklog = 16;

Status Invalid(std::string_view text) {
  return MakeError(
      StatusCode::kInvalidArgument,
      fmt::format("\"{}\" must be unix:/PATH or ADDRESS:PORT, as 127.0.0.1:9100", text));
}

std::optional<in_port_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [parsed_to, error] = std::from_chars(text.data(), end, port);
  if (text.empty() || error != std::errc() || parsed_to != end) {
    return std::nullopt;
  }
  return htons(port);
}

}  // namespace

StatusOr<SocketAddress> SocketAddress::Parse(std::string_view text) {
  SocketAddress address;
  if (text.starts_with(kUnix)) {
    const std::string_view path = text.substr(kUnix.size());
    if (!path.starts_with('/') || path.find('\0') != std::string_view::npos ||
        path.size() >= sizeof(sockaddr_un::sun_path)) {
      return Invalid(text);
    }
    address.path_ = path;
    return address;
  }
  const size_t colon = text.rfind(':');
  const auto port =
      colon == std::string_view::npos ? std::nullopt : ParsePort(text.substr(colon + 1));
  if (!port) {
    return Invalid(text);
  }
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    sockaddr_in6 six{.sin6_family = AF_INET6, .sin6_port = *port};
    if (::inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) != 1) {
      return Invalid(text);
    }
    address.tcp_ = six;
    return address;
  }
  if (host.empty()) {
    address.tcp_ =
        sockaddr_in6{.sin6_family = AF_INET6, .sin6_port = *port, .sin6_addr = in6addr_any};
    return address;
  }
  sockaddr_in four{.sin_family = AF_INET, .sin_port = *port};
  if (::inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &four.sin_addr) != 1) {
    return Invalid(text);
  }
  address.tcp_ = four;
  return address;
}

bool SocketAddress::is_local() const {
  if (!path_.empty()) {
    return true;
  }
  if (const auto* four = std::get_if<sockaddr_in>(&tcp_)) {
    return ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  return IN6_IS_ADDR_LOOPBACK(&std::get<sockaddr_in6>(tcp_).sin6_addr) != 0;
}

StatusOr<UniqueFd> SocketAddress::ListenOnTcp() const {
  if (!path_.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "not an address of TCP");
  }
  return std::visit(
      [](const auto& address) -> StatusOr<UniqueFd> {
        const auto& generic = reinterpret_cast<const sockaddr&>(address);
        UniqueFd fd(::socket(generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!fd.valid()) {
          return ErrnoError(errno, "socket");
        }
        const int on = 1;
        // What an earlier process has just closed is no obstacle.
        ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (::bind(fd.get(), &generic, sizeof(address)) != 0) {
          return errno == EADDRINUSE
                     ? MakeError(StatusCode::kUnavailable, "another process listens there")
                     : ErrnoError(errno, "bind");
        }
        if (::listen(fd.get(), kBacklog) != 0) {
          return ErrnoError(errno, "listen");
        }
        return fd;
      },
      tcp_);
}

StatusOr<std::string> TcpAddressOf(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return ErrnoError(errno, "getsockname");
  }
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text));
    return fmt::format("{}:{}", text, ntohs(four.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(storage);
    ::inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof(text));
    return fmt::format("[{}]:{}", text, ntohs(six.sin6_port));
  }
  return MakeError(StatusCode::kInvalidArgument, "not a socket of TCP");
}

}  // namespace starling
