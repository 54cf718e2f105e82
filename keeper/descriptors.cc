#include "keeper/descriptors.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/file_system.h"
#include "keeper/send_fds.h"

namespace starling::keeper {
namespace {

constexpr int kFirstOwnFd = 3;
constexpr std::byte kKeptMessage{'K'};
constexpr std::byte kReadyMessage{'R'};

/// The descriptors that came with a message.
std::vector<UniqueFd> TakeFds(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

/// Entries whose numbers are places in `fds`.
StatusOr<std::vector<Kept>> Join(std::vector<Entry> entries, std::vector<UniqueFd> fds) {
  if (entries.size() != fds.size()) {
    return MakeError(StatusCode::kDataLoss, "keeper: descriptors are missing");
  }
  std::vector<Kept> kept;
  for (Entry& entry : entries) {
    const auto place = static_cast<size_t>(entry.fd);
    if (place >= fds.size() || !fds[place].valid()) {
      return MakeError(StatusCode::kDataLoss, "keeper: a descriptor is named twice");
    }
    kept.push_back({.name = std::move(entry.name),
                    .value = std::move(entry.value),
                    .fd = std::move(fds[place])});
  }
  return kept;
}

}  // namespace

Kept* FindKept(std::vector<Kept>& kept, std::string_view name) {
  const auto found = std::ranges::find(kept, name, &Kept::name);
  return found == kept.end() ? nullptr : &*found;
}

const Kept* FindKept(const std::vector<Kept>& kept, std::string_view name) {
  return FindKept(const_cast<std::vector<Kept>&>(kept), name);
}

StatusOr<UniqueFd> WriteState(const std::vector<Kept>& kept) {
  std::vector<Entry> entries;
  entries.reserve(kept.size());
  for (const Kept& one : kept) {
    entries.push_back({.name = one.name, .value = one.value, .fd = one.fd.get()});
  }
  ASSIGN_OR_RETURN(const Bytes bytes, Encode(entries));
  UniqueFd state(::memfd_create("starling-state", MFD_CLOEXEC));
  if (!state.valid()) {
    return ErrnoError(errno, "memfd_create");
  }
  RETURN_IF_ERROR(RealFileSystem().WriteAt(state.get(), 0, bytes));
  return state;
}

StatusOr<std::vector<Entry>> ReadState(int state) {
  Bytes bytes(kMaxStateBytes + 1);
  const ssize_t size = ::pread(state, bytes.data(), bytes.size(), 0);
  if (size < 0) {
    return ErrnoError(errno, "kept state");
  }
  return Decode(ByteSpan(bytes).first(static_cast<size_t>(size)));
}

StatusOr<std::vector<Kept>> TakeInherited(UniqueFd state) {
  ASSIGN_OR_RETURN(std::vector<Entry> entries, ReadState(state.get()));
  std::vector<Kept> kept;
  std::set<int> seen = {state.get()};
  for (Entry& entry : entries) {
    if (entry.fd < kFirstOwnFd || !seen.insert(entry.fd).second) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("kept state: descriptor {} cannot be", entry.fd));
    }
    RETURN_IF_ERROR(SetInherited(entry.fd, false));
    kept.push_back(
        {.name = std::move(entry.name), .value = std::move(entry.value), .fd = UniqueFd(entry.fd)});
  }
  return kept;
}

Status SetNoneInherited() {
  if (::close_range(kFirstOwnFd, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    return ErrnoError(errno, "close_range");
  }
  return OkStatus();
}

Status SetInherited(int fd, bool is_inherited) {
  if (::fcntl(fd, F_SETFD, is_inherited ? 0 : FD_CLOEXEC) != 0) {
    return ErrnoError(errno, fmt::format("descriptor {}", fd));
  }
  return OkStatus();
}

StatusOr<std::pair<Channel, Channel>> Channel::MakePair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  return std::pair(Channel(UniqueFd(ends[0])), Channel(UniqueFd(ends[1])));
}

Status Channel::SendKept(const std::vector<Kept>& kept) {
  std::vector<Entry> entries;
  std::vector<int> fds;
  for (const Kept& one : kept) {
    entries.push_back(
        {.name = one.name, .value = one.value, .fd = static_cast<int32_t>(fds.size())});
    fds.push_back(one.fd.get());
  }
  ASSIGN_OR_RETURN(const Bytes encoded, Encode(entries));
  Bytes message = {kKeptMessage};
  Append(message, encoded);
  return Annotate(SendWithFds(fd_.get(), message, fds), "keeper");
}

Status Channel::SendReady() {
  return Annotate(SendWithFds(fd_.get(), ByteSpan(&kReadyMessage, 1), {}), "keeper");
}

StatusOr<Channel::Message> Channel::Receive() {
  Bytes bytes(kMaxStateBytes + 1);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxEntries * sizeof(int))] = {};
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = 0;
  do {
    size = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    return errno == ECONNRESET ? StatusOr<Message>(Message{})
                               : StatusOr<Message>(ErrnoError(errno, "keeper: receive"));
  }
  std::vector<UniqueFd> fds = TakeFds(message);
  if (size == 0) {
    return Message{};
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return MakeError(StatusCode::kDataLoss, "keeper: a message is too large");
  }
  const ByteSpan content = ByteSpan(bytes).subspan(1, static_cast<size_t>(size) - 1);
  if (bytes.front() == kReadyMessage && content.empty() && fds.empty()) {
    return Message{.kind = Message::Kind::kReady, .kept = {}};
  }
  if (bytes.front() != kKeptMessage) {
    return MakeError(StatusCode::kDataLoss, "keeper: an unknown message");
  }
  ASSIGN_OR_RETURN(std::vector<Entry> entries, Decode(content));
  ASSIGN_OR_RETURN(std::vector<Kept> kept, Join(std::move(entries), std::move(fds)));
  return Message{.kind = Message::Kind::kKept, .kept = std::move(kept)};
}

}  // namespace starling::keeper
