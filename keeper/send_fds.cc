#include "keeper/send_fds.h"

#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace starling::keeper {

Status SendWithFds(int socket, ByteSpan message, std::span<const int> fds, SocketAddress to) {
  if (fds.size() > kMaxFds) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} descriptors are too many for a message", fds.size()));
  }
  iovec part{.iov_base = const_cast<std::byte*>(message.data()), .iov_len = message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr sent{.msg_name = const_cast<sockaddr*>(to.address),
              .msg_namelen = to.size_bytes,
              .msg_iov = &part,
              .msg_iovlen = 1};
  if (!fds.empty()) {
    sent.msg_control = control;
    sent.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&sent);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t size = 0;
  do {
    size = ::sendmsg(socket, &sent, MSG_NOSIGNAL);
  } while (size < 0 && errno == EINTR);
  return size < 0 ? ErrnoError(errno, "send a message") : OkStatus();
}

}  // namespace starling::keeper
