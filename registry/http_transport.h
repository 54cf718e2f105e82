#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/io.h"
#include "base/status.h"
#include "oci/blob_reader.h"

namespace starling::registry {

struct Header {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<Header> headers;
  /// The body to send: from memory, or from a source of known size (borrowed until `done`).
  Bytes body;
  ByteSource* body_source = nullptr;
  uint64_t body_source_bytes = 0;
  /// Where a 2xx body streams to instead of the response (borrowed until `done`); called on the
  /// transport's thread, so it must not wait for the network.
  ByteSink* body_sink = nullptr;
  /// A larger body in memory is cut off with kResourceExhausted.
  uint64_t max_body_bytes = 8 << 20;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  oci::FetchClass fetch_class = oci::FetchClass::kDemand;
};

struct HttpResponse {
  int status = 0;
  std::vector<Header> headers;
  Bytes body;
  /// The first value of a header, whatever its case; empty when absent.
  std::string_view HeaderValue(std::string_view name) const;
};

/// One HTTP exchange; redirects are not followed and credentials not added here.
/// Threads: safe.
class HttpTransport {
 public:
  using Done = std::function<void(StatusOr<HttpResponse>)>;
  virtual ~HttpTransport() = default;
  /// Calls `done` exactly once, on the transport's own thread, with no lock held. Any HTTP status is
  /// a response; errors are those of the connection: kUnavailable (refused, reset, name unknown),
  /// kDeadlineExceeded, kPermissionDenied (certificate).
  virtual void Send(HttpRequest request, Done done) = 0;
};

}  // namespace starling::registry
