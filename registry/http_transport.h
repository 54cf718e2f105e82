#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "oci/blob_reader.h"
#include "registry/address_kind.h"
#include "registry/body_pipe.h"

namespace starling::registry {

struct Header {
  std::string name;
  std::string value;
};

struct HttpResponse {
  int status = 0;
  std::vector<Header> headers;
  Bytes body;
  /// The first value of a header, whatever its case; empty when absent. Borrowed.
  std::string_view HeaderValue(std::string_view name) const;
  /// All values of a header, in order. Borrowed.
  std::vector<std::string_view> HeaderValues(std::string_view name) const;
};

/// Where a request may be connected to: at the addresses of any kind, at all but local ones, or at
/// neither local nor loopback ones.
enum class Reach { kAnywhere, kNotLocal, kOrdinary };
bool MayReach(Reach reach, AddressKind kind);

/// Whether the environment's proxies count.
enum class Proxy { kOfEnvironment, kNever };
/// How to connect to a host that is not like all others.
struct ConnectionOptions {
  std::string trusted_pem;         // certificates to trust beside the system's
  std::string client_certificate;  // files (PEM), read at each connection; empty: none
  std::string client_key;
  bool verify = true;  // that the host is who it says
  std::optional<std::chrono::milliseconds> connect_timeout;

  friend bool operator==(const ConnectionOptions&, const ConnectionOptions&) = default;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<Header> headers;
  /// The body to send: from memory, or exactly `upload_bytes` from a pipe.
  Bytes body;
  std::shared_ptr<BodyPipe> upload;
  uint64_t upload_bytes = 0;
  /// Where a 2xx body goes instead of the response. The one who sends closes it in `done`.
  std::shared_ptr<BodyPipe> download;
  /// Sees status and headers before the first byte of the body; an error ends the exchange with
  /// that error. Called at most once, on the transport's thread; must not block.
  std::function<Status(const HttpResponse&)> on_headers;
  /// Takes a 2xx body part by part instead of the response, after `on_headers`; an error ends the
  /// exchange with that error. Called on the transport's thread; must not block.
  std::function<Status(ByteSpan)> on_body;
  /// A larger body in memory is cut off with kResourceExhausted.
  uint64_t max_body_bytes = 8 << 20;
  /// From Send to `done`, waiting in queues included.
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  /// For how long nothing may move; absent: as the transport's options say.
  std::optional<std::chrono::milliseconds> stall_timeout;
  oci::FetchClass fetch_class = oci::FetchClass::kDemand;
  /// Ends the exchange with kCancelled, soon after it is asked to stop.
  std::stop_token stop;
  /// Not over a connection that others use.
  bool own_connection = false;
  /// It was sent before, and failed.
  bool is_retry = false;
  /// A name that stands for another address is kFailedPrecondition.
  Reach reach = Reach::kAnywhere;
  Proxy proxy = Proxy::kOfEnvironment;
  /// Null: as the transport's options say.
  std::shared_ptr<const ConnectionOptions> connection;
};

/// One HTTP exchange; redirects are not followed and credentials not added here.
/// Threads: safe.
class HttpTransport {
 public:
  using Done = std::function<void(StatusOr<HttpResponse>)>;
  virtual ~HttpTransport() = default;
  /// Calls `done` exactly once, on the transport's own thread, with no lock held. Any HTTP status
  /// is a response; errors are those of the connection: kUnavailable (refused, reset, name unknown,
  /// too slow), kDeadlineExceeded, kPermissionDenied (certificate), kCancelled (shutting down).
  virtual void Send(HttpRequest request, Done done) = 0;
  /// Runs `task` on the transport's own thread once `delay` has passed; earlier when the transport
  /// shuts down. `task` must not block.
  virtual void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) = 0;
};

}  // namespace starling::registry
