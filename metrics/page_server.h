#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "metrics/http_answer.h"

namespace starling::metrics {

/// Serves a page over HTTP/1.1, on one thread, a request for each connection. Who connects can cost
/// it a few kilobytes for some seconds and nothing else.
class PageServer {
 public:
  struct Options {
    /// Connections at once; others wait in the listener's queue.
    size_t max_connections = 16;
    /// For a request to come, and for its answer to be taken.
    std::chrono::milliseconds patience = std::chrono::seconds(10);
  };
  /// Borrows `listener`, a socket that listens and does not block, of TCP or a unix one. The page
  /// is written on the server's thread.
  static StatusOr<std::unique_ptr<PageServer>> Start(int listener, Page page, Options options);
  /// Connections end at once.
  ~PageServer();

 private:
  struct Connection;
  PageServer(int listener, UniqueFd wake, Page page, Options options);
  void Run();
  /// False when it is over.
  bool Advance(Connection& connection, short events) const;

  const int listener_;
  const UniqueFd wake_;  // an eventfd
  const Page page_;
  const Options options_;
  std::thread thread_;
};

}  // namespace starling::metrics
