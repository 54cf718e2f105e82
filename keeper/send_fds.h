#pragma once

#include <sys/socket.h>

#include <span>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::keeper {

/// As many as one message can have.
inline constexpr size_t kMaxFds = 32;

struct SocketAddress {
  const sockaddr* address = nullptr;  // null: whom the socket is connected to
  socklen_t size_bytes = 0;
};

/// Sends one message with copies of `fds`. No SIGPIPE. Source: unix(7), SCM_RIGHTS.
Status SendWithFds(int socket, ByteSpan message, std::span<const int> fds, SocketAddress to = {});

}  // namespace starling::keeper
