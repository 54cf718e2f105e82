#include "dockerfile/build/socket_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <list>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/poll.h"

namespace starling::dockerfile::build {
namespace {

constexpr size_t kBufferBytes = 16 << 10;

StatusOr<sockaddr_un> AddressOf(const std::filesystem::path& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.native().size() >= sizeof(address.sun_path)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{}: too long for a socket", path.native()));
  }
  path.native().copy(address.sun_path, path.native().size());
  return address;
}

UniqueFd NewSocket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// Bytes on their way in one direction.
class Flow {
 public:
  /// What to poll for at the end that is read, and at the other.
  short wanted_of_source() const { return !ended_ && size_ == 0 ? POLLIN : 0; }
  short wanted_of_sink() const { return size_ > 0 ? POLLOUT : 0; }
  bool is_done() const { return ended_ && size_ == 0; }

  /// Reads what is there, then writes what can be written. False when a side is broken.
  bool Move(int source, int sink) {
    if (!ended_ && size_ == 0) {
      const ssize_t size = ::read(source, buffer_.data(), buffer_.size());
      if (size < 0) {
        return errno == EAGAIN || errno == EINTR;
      }
      ended_ = size == 0;
      begin_ = 0;
      size_ = static_cast<size_t>(size);
    }
    if (size_ > 0) {
      const ssize_t size = ::send(sink, buffer_.data() + begin_, size_, MSG_NOSIGNAL);
      if (size < 0) {
        return errno == EAGAIN || errno == EINTR;
      }
      begin_ += static_cast<size_t>(size);
      size_ -= static_cast<size_t>(size);
    }
    if (is_done()) {
      ::shutdown(sink, SHUT_WR);
    }
    return true;
  }

 private:
  std::array<char, kBufferBytes> buffer_;
  size_t begin_ = 0;
  size_t size_ = 0;
  bool ended_ = false;
};

struct Connection {
  UniqueFd step;
  UniqueFd agent;
  Flow to_agent;
  Flow to_step;

  /// False when it is over.
  bool Move() {
    return to_agent.Move(step.get(), agent.get()) && to_step.Move(agent.get(), step.get()) &&
           !(to_agent.is_done() && to_step.is_done());
  }
};

}  // namespace

StatusOr<std::unique_ptr<SocketRelay>> SocketRelay::Listen(const std::filesystem::path& path,
                                                           std::filesystem::path target,
                                                           Access access) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  RETURN_IF_ERROR(AddressOf(target).status());
  ASSIGN_OR_RETURN(Pipe stop, MakePipe());
  UniqueFd listening = NewSocket();
  if (!listening.valid() ||
      ::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::lchown(path.c_str(), access.uid, access.gid) != 0 ||
      ::chmod(path.c_str(), access.mode) != 0 || ::listen(listening.get(), SOMAXCONN) != 0) {
    return ErrnoError(errno, path.native());
  }
  return std::unique_ptr<SocketRelay>(
      new SocketRelay(std::move(listening), std::move(target), std::move(stop)));
}

SocketRelay::SocketRelay(UniqueFd listening, std::filesystem::path target, Pipe stop)
    : listening_(std::move(listening)), target_(std::move(target)), stop_(std::move(stop)) {
  thread_ = std::thread([this] { Serve(); });
}

SocketRelay::~SocketRelay() {
  stop_.write_end.Reset();
  thread_.join();
}

void SocketRelay::Serve() {
  std::list<Connection> connections;
  for (;;) {
    const short accepting = connections.size() < kMaxConnections ? POLLIN : 0;
    std::vector<pollfd> entries = {{.fd = stop_.read_end.get(), .events = 0, .revents = 0},
                                   {.fd = listening_.get(), .events = accepting, .revents = 0}};
    for (const Connection& one : connections) {
      // A side of which nothing is wanted is left out: its end would be reported without end.
      const auto add = [&](const UniqueFd& fd, short events) {
        entries.push_back({.fd = events == 0 ? -1 : fd.get(), .events = events, .revents = 0});
      };
      add(one.step, one.to_agent.wanted_of_source() | one.to_step.wanted_of_sink());
      add(one.agent, one.to_step.wanted_of_source() | one.to_agent.wanted_of_sink());
    }
    if (!PollUntil(entries).ok() || entries[0].revents != 0) {
      return;
    }
    size_t entry = 2;
    for (auto one = connections.begin(); one != connections.end(); entry += 2) {
      const bool is_ready = entries[entry].revents != 0 || entries[entry + 1].revents != 0;
      one = is_ready && !one->Move() ? connections.erase(one) : std::next(one);
    }
    if ((entries[1].revents & POLLIN) == 0) {
      continue;
    }
    UniqueFd step(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!step.valid()) {
      continue;
    }
    UniqueFd agent = NewSocket();
    const auto address = AddressOf(target_);
    if (!agent.valid() || ::connect(agent.get(), reinterpret_cast<const sockaddr*>(&*address),
                                    sizeof(*address)) != 0) {
      log::Warning(
          "the ssh agent takes no connection",
          {{"socket", target_.native()}, {"error", Describe(ErrnoError(errno, "connect"))}});
      continue;
    }
    Connection& added = connections.emplace_back();
    added.step = std::move(step);
    added.agent = std::move(agent);
  }
}

}  // namespace starling::dockerfile::build
