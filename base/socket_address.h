#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling {

/// Where to listen, as people write it: "unix:/run/x.sock", "127.0.0.1:9100", "[::1]:9100". Port 0
/// is one that is free. "localhost" is 127.0.0.1; without a host, all addresses are meant. Other
/// names are not resolved.
class SocketAddress {
 public:
  /// kInvalidArgument for anything else.
  static StatusOr<SocketAddress> Parse(std::string_view text);

  /// The path of a unix socket; empty for TCP.
  const std::filesystem::path& path() const { return path_; }
  /// Whether nobody else's machine can connect to it: a unix socket, or a loopback address.
  bool is_local() const;
  /// For TCP: a socket that listens there, not blocking. kUnavailable when the address is in use,
  /// else as errno says.
  StatusOr<UniqueFd> ListenOnTcp() const;

 private:
  std::filesystem::path path_;
  std::variant<sockaddr_in, sockaddr_in6> tcp_{};
};

/// The address that a listening TCP socket has got, as Parse takes it.
StatusOr<std::string> TcpAddressOf(int socket);

}  // namespace starling
