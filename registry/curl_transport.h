#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "registry/http_transport.h"
#include "registry/transfer_counters.h"

namespace starling::registry {

struct CurlTransportOptions {
  std::string user_agent = "starling/0.1";
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
  /// An exchange that moves fewer bytes a second than these for so long, because the connection is
  /// dead or the server lets them drip, is given up (kUnavailable).
  std::chrono::seconds stall_timeout = std::chrono::seconds(30);
  uint32_t stall_bytes_per_second = 256;
  /// Exchanges with one host at once, so also connections to it. Two of them are kept for the most
  /// urgent class.
  size_t max_requests_per_host = 16;
  /// Exchanges in progress; others wait, the most urgent class goes first.
  size_t max_active_requests = 64;
  size_t max_header_bytes = 64 << 10;
  size_t max_headers = 256;
  /// A file of PEM certificates to trust instead of the system's file, and a directory of them,
  /// with the names that OpenSSL's rehash gives. Empty: what SSL_CERT_FILE and SSL_CERT_DIR say, or
  /// else the system's.
  std::string ca_file;
  std::string ca_directory;
};

/// HTTP over libcurl: one thread ("net") drives all exchanges; HTTP/2 where TLS offers it,
/// connections are kept and shared. HTTP(S)_PROXY and NO_PROXY are honoured.
/// Destroying it stops it, then joins the thread; nobody may call it then, but for the callbacks it
/// runs.
class CurlTransport : public HttpTransport {
 public:
  explicit CurlTransport(CurlTransportOptions options = {});
  ~CurlTransport() override;
  void Send(HttpRequest request, Done done) override;
  void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) override;
  /// What all exchanges came to. Lives as long as this.
  const TransferCounters& counters() const;
  /// Ends every exchange, and from now on each new one at once, with kCancelled. Does not wait.
  void Stop();

 private:
  class Loop;
  struct Mailbox;
  std::shared_ptr<Mailbox> mailbox_;
  std::thread thread_;
};

}  // namespace starling::registry
