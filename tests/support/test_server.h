#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"

namespace starling::testing_support {

struct ServedRequest {
  std::string method;
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct ServedResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Sends this many bytes of the body, then closes the connection (-1: all, and keep it).
  int cut_after_bytes = -1;
  /// Resets the connection instead of answering.
  bool reset = false;
  /// Sends the body one byte at a time, with this pause after each (0: all of it at once).
  std::chrono::milliseconds pause_per_byte{0};
  /// Sends the body in two chunks, without saying how long it is.
  bool chunked = false;
  /// Sends nothing and keeps the connection open until the server goes.
  bool silent = false;
  /// After the head, without a length, passes bytes both ways between the client and this port of
  /// 127.0.0.1 until one of them ends (0: does not), as a proxy does after CONNECT.
  uint16_t tunnel_to_port = 0;
};

enum class Loopback { kIPv4, kIPv6 };

/// An HTTP/1.1 server on a loopback port of its own, one thread for each connection. HEAD answers
/// have no body but its length. Counts connections; records requests.
class TestServer {
 public:
  using Handler = std::function<ServedResponse(const ServedRequest&)>;

  explicit TestServer(Handler handler, Loopback loopback = Loopback::kIPv4)
      : handler_(std::move(handler)),
        loopback_(loopback),
        listener_(::socket(loopback == Loopback::kIPv4 ? AF_INET : AF_INET6,
                           SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    sockaddr_in v4 = LoopbackAt(0);
    auto* const address = loopback == Loopback::kIPv4 ? reinterpret_cast<sockaddr*>(&v4)
                                                      : reinterpret_cast<sockaddr*>(&v6);
    socklen_t size = loopback == Loopback::kIPv4 ? sizeof v4 : sizeof v6;
    ::bind(listener_.get(), address, size);
    ::listen(listener_.get(), 64);
    ::getsockname(listener_.get(), address, &size);
    port_ = ntohs(loopback == Loopback::kIPv4 ? v4.sin_port : v6.sin6_port);
    acceptor_ = std::thread([this] { Accept(); });
  }

  ~TestServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
      MutexLock lock(mutex_);
      for (const int fd : open_) {
        ::shutdown(fd, SHUT_RDWR);
      }
    }
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }

  std::string address() const {
    return (loopback_ == Loopback::kIPv4 ? "127.0.0.1:" : "[::1]:") + std::to_string(port_);
  }
  std::string url() const { return "http://" + address(); }
  int connections() const { return connections_; }
  std::vector<ServedRequest> requests() {
    MutexLock lock(mutex_);
    return requests_;
  }

 private:
  static sockaddr_in LoopbackAt(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  void Accept() {
    for (;;) {
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) {
        return;
      }
      ++connections_;
      const int yes = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      {
        MutexLock lock(mutex_);
        open_.push_back(fd);
      }
      threads_.emplace_back([this, fd] {
        std::string buffered;
        while (ServeOne(fd, buffered)) {
        }
        MutexLock lock(mutex_);
        open_.erase(std::find(open_.begin(), open_.end(), fd));
        ::close(fd);
      });
    }
  }

  static bool Fill(int fd, std::string& buffered) {
    char chunk[16384];
    const ssize_t count = ::recv(fd, chunk, sizeof chunk, 0);
    if (count <= 0) {
      return false;
    }
    buffered.append(chunk, static_cast<size_t>(count));
    return true;
  }

  static bool Receive(int fd, std::string& buffered, ServedRequest& request) {
    size_t end = 0;
    while ((end = buffered.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(fd, buffered) || buffered[0] == 0x16) return false;  // 0x16: a TLS handshake
    }
    const std::string head = buffered.substr(0, end + 2);
    buffered.erase(0, end + 4);
    size_t line_end = head.find("\r\n");
    const std::string first = head.substr(0, line_end);
    request.method = first.substr(0, first.find(' '));
    const size_t target = request.method.size() + 1;
    request.target = first.substr(target, first.rfind(' ') - target);
    for (size_t at = line_end + 2; at < head.size(); at = line_end + 2) {
      line_end = head.find("\r\n", at);
      const std::string line = head.substr(at, line_end - at);
      std::string name = line.substr(0, line.find(':'));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return static_cast<char>(::tolower(c)); });
      request.headers[name] = line.substr(line.find(':') + 2);
    }
    const std::string length = request.Header("content-length");
    const size_t body_bytes = length.empty() ? 0 : std::stoul(length);
    while (buffered.size() < body_bytes) {
      if (!Fill(fd, buffered)) return false;
    }
    request.body = buffered.substr(0, body_bytes);
    buffered.erase(0, body_bytes);
    return true;
  }

  static bool SendAll(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  bool ServeOne(int fd, std::string& buffered) {
    ServedRequest request;
    if (!Receive(fd, buffered, request)) {
      return false;
    }
    {
      MutexLock lock(mutex_);
      requests_.push_back(request);
    }
    const ServedResponse response = handler_(request);
    if (response.reset) {
      const linger now{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      return false;
    }
    if (response.silent) {
      while (Fill(fd, buffered)) {
      }
      return false;
    }
    std::string head = "HTTP/1.1 " + std::to_string(response.status) + " Status\r\n";
    for (const auto& [name, value] : response.headers) {
      head += name + ": " + value + "\r\n";
    }
    if (response.tunnel_to_port != 0) {
      if (SendAll(fd, head + "\r\n")) {
        Tunnel(fd, response.tunnel_to_port);
      }
      return false;
    }
    head += response.chunked
                ? std::string("Transfer-Encoding: chunked\r\n\r\n")
                : "Content-Length: " + std::to_string(response.body.size()) + "\r\n\r\n";
    if (!SendAll(fd, head)) return false;
    if (request.method == "HEAD") return true;
    if (response.cut_after_bytes >= 0) {
      SendAll(
          fd,
          std::string_view(response.body).substr(0, static_cast<size_t>(response.cut_after_bytes)));
      ::shutdown(fd, SHUT_RDWR);
      return false;
    }
    if (response.chunked) {
      const size_t half = response.body.size() / 2;
      return SendChunk(fd, std::string_view(response.body).substr(0, half)) &&
             SendChunk(fd, std::string_view(response.body).substr(half)) &&
             SendAll(fd, "0\r\n\r\n");
    }
    return response.pause_per_byte.count() > 0 ? Drip(fd, response) : SendAll(fd, response.body);
  }

  static bool SendChunk(int fd, std::string_view part) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", part.size());
    return part.empty() || (SendAll(fd, size) && SendAll(fd, part) && SendAll(fd, "\r\n"));
  }

  /// False when the client goes in the middle.
  static bool Drip(int fd, const ServedResponse& response) {
    for (size_t at = 0; at < response.body.size(); ++at) {
      pollfd gone{.fd = fd, .events = POLLRDHUP, .revents = 0};
      if (!SendAll(fd, std::string_view(response.body).substr(at, 1)) ||
          ::poll(&gone, 1, static_cast<int>(response.pause_per_byte.count())) != 0) {
        return false;
      }
    }
    return true;
  }

  static void Tunnel(int client, uint16_t port) {
    const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = LoopbackAt(port);
    if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return;
    }
    pollfd ends[] = {{.fd = client, .events = POLLIN, .revents = 0},
                     {.fd = server.get(), .events = POLLIN, .revents = 0}};
    while (::poll(ends, 2, -1) > 0) {
      for (size_t i = 0; i < 2; ++i) {
        std::string passing;
        if (ends[i].revents != 0 &&
            (!Fill(ends[i].fd, passing) || !SendAll(ends[1 - i].fd, passing))) {
          return;
        }
      }
    }
  }

  const Handler handler_;
  const Loopback loopback_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  Mutex mutex_;  // leaf
  std::vector<int> open_ GUARDED_BY(mutex_);
  std::vector<ServedRequest> requests_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;  // only the acceptor adds; joined after it
  std::thread acceptor_;
};

}  // namespace starling::testing_support
