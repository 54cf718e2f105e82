#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "http/answer.h"

namespace starling::http {

/// Answers over HTTP/1.1, on one thread, a request for each connection. Who connects can cost
/// it a few kilobytes for some seconds and nothing else.
class Server {
 public:
  struct Options {
    /// Connections at once; others wait in the listener's queue.
    size_t max_connections = 16;
    /// For a request to come, and for its answer to be taken.
    std::chrono::milliseconds patience = std::chrono::seconds(10);
  };
  /// Borrows `listener`, a socket that listens and does not block, of TCP or a unix one. `name` is
  /// the thread's, which is where the handler is called.
  static StatusOr<std::unique_ptr<Server>> Start(int listener, std::string name, Handler handler,
                                                 Options options);
  /// Connections end at once.
  ~Server();

 private:
  struct Connection;
  Server(int listener, UniqueFd wake, std::string name, Handler handler, Options options);
  void Run();
  /// False when it is over.
  bool Advance(Connection& connection, short events) const;

  const int listener_;
  const UniqueFd wake_;  // an eventfd
  const std::string name_;
  const Handler handler_;
  const Options options_;
  std::thread thread_;
};

}  // namespace starling::http
