#include "http/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "base/poll.h"

namespace starling::http {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

/// After accept has failed for want of descriptors or memory.
constexpr std::chrono::milliseconds kPauseAfterFailure(200);

}  // namespace

struct Server::Connection {
  UniqueFd fd;
  TimePoint deadline;
  std::string request;
  std::string answer;  // empty while the request comes
  size_t sent_bytes = 0;
};

Server::Server(int listener, UniqueFd wake, std::string name, Handler handler, Options options)
    : listener_(listener),
      wake_(std::move(wake)),
      name_(std::move(name)),
      handler_(std::move(handler)),
      options_(options) {}

StatusOr<std::unique_ptr<Server>> Server::Start(int listener, std::string name, Handler handler,
                                                Options options) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) {
    return ErrnoError(errno, "eventfd");
  }
  std::unique_ptr<Server> server(
      new Server(listener, std::move(wake), std::move(name), std::move(handler), options));
  server->thread_ = std::thread([server_of_thread = server.get()] {
    SetThreadName(server_of_thread->name_);
    server_of_thread->Run();
  });
  return server;
}

Server::~Server() {
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void Server::Run() {
  std::vector<Connection> connections;
  TimePoint accepts_at{};  // not before; after a failure
  for (;;) {
    const TimePoint now = std::chrono::steady_clock::now();
    std::erase_if(connections, [now](const Connection& one) { return one.deadline <= now; });
    std::optional<TimePoint> next;
    const auto note = [&next](TimePoint at) { next = std::min(next.value_or(at), at); };
    const bool pauses = now < accepts_at;
    const bool accepts = !pauses && connections.size() < options_.max_connections;
    std::vector<pollfd> watched = {
        {.fd = wake_.get(), .events = POLLIN, .revents = 0},
        {.fd = accepts ? listener_ : -1, .events = POLLIN, .revents = 0}};
    if (pauses) {
      note(accepts_at);
    }
    for (const Connection& one : connections) {
      watched.push_back({.fd = one.fd.get(),
                         .events = static_cast<short>(one.answer.empty() ? POLLIN : POLLOUT),
                         .revents = 0});
      note(one.deadline);
    }
    if (const auto ready = PollUntil(watched, next); !ready.ok()) {
      log::Error("nobody is answered over HTTP any more",
                 {{"server", name_}, {"error", Describe(ready.status())}});
      return;
    }
    if (watched[0].revents != 0) {
      return;
    }
    size_t index = 2;
    std::erase_if(connections, [&](Connection& one) {
      const short events = watched[index++].revents;
      return events != 0 && !Advance(one, events);
    });
    if (watched[1].revents != 0) {
      UniqueFd accepted(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (accepted.valid()) {
        connections.push_back({.fd = std::move(accepted),
                               .deadline = std::chrono::steady_clock::now() + options_.patience,
                               .request = {},
                               .answer = {}});
      } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        accepts_at = std::chrono::steady_clock::now() + kPauseAfterFailure;
      }
    }
  }
}

bool Server::Advance(Connection& connection, short events) const {
  if ((events & POLLNVAL) != 0) {
    return false;
  }
  if (connection.answer.empty()) {
    char bytes[1024];
    const size_t room = std::min(sizeof(bytes), kMaxRequestBytes - connection.request.size());
    const ssize_t count = ::recv(connection.fd.get(), bytes, room, 0);
    if (count <= 0) {
      return count < 0 && (errno == EAGAIN || errno == EINTR);
    }
    connection.request.append(bytes, static_cast<size_t>(count));
    if (auto answer = AnswerTo(connection.request, handler_)) {
      connection.answer = *std::move(answer);
    }
    return true;
  }
  const std::string_view rest = std::string_view(connection.answer).substr(connection.sent_bytes);
  const ssize_t count = ::send(connection.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  if (count < 0) {
    return errno == EAGAIN || errno == EINTR;
  }
  connection.sent_bytes += static_cast<size_t>(count);
  return connection.sent_bytes < connection.answer.size();
}

}  // namespace starling::http
