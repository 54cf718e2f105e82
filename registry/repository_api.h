#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "oci/reference.h"
#include "registry/failure.h"
#include "registry/host_policy.h"
#include "registry/http_transport.h"
#include "registry/rate_limit.h"
#include "registry/registry_host.h"
#include "registry/retry.h"
#include "registry/token_source.h"

namespace starling::registry {

/// One request to a repository, authentication, retries and redirects included.
struct ApiRequest {
  std::string method = "GET";
  std::string url;
  std::vector<Header> headers;
  Bytes body;
  std::shared_ptr<BodyPipe> upload;
  uint64_t upload_bytes = 0;
  std::shared_ptr<BodyPipe> download;
  /// Another repository that the token must allow to pull from; empty: none.
  std::string also_pull;
  /// Told where the bytes of a good answer come from, before `on_headers`.
  std::function<void(const std::string& url)> on_location;
  /// As HttpRequest's, but sees only the answers that end the call: no redirects, no 401 that a new
  /// token may cure.
  std::function<Status(const HttpResponse&)> on_headers;
  /// As HttpRequest's. A try that breaks off in the middle of the body is not followed by another.
  std::function<Status(ByteSpan)> on_body;
  uint64_t max_body_bytes = 8 << 20;
  std::optional<std::chrono::milliseconds> stall_timeout;  // as HttpRequest's
  oci::FetchClass fetch_class = oci::FetchClass::kDemand;
  /// As HttpRequest's.
  std::stop_token stop;
  bool own_connection = false;
  bool is_retry = false;  // as HttpRequest's
  RetryPolicy retry;
};

struct ApiResponse {
  HttpResponse http;
  /// Where the answer came from, after redirects.
  std::string url;
};

/// What a token must allow. A login: nothing, but it must not be an anonymous one.
enum class Access { kPull, kPush, kDelete, kLogin };

/// The HTTP API of one repository of one registry. Threads: safe. Held by shared_ptr.
class RepositoryApi : public std::enable_shared_from_this<RepositoryApi> {
 public:
  struct Dependencies {
    HttpTransport& transport;
    Clock& clock;
    std::shared_ptr<TokenSource> tokens;
    std::shared_ptr<HostPauses> pauses;
    std::shared_ptr<Outages> outages;
    std::shared_ptr<RateLimits> limits;
    HostPolicy hosts;
    /// What is to be known of the place now: its headers and how to connect to it may change.
    std::function<RegistryHost()> latest;
    /// How long a read of a range waits for its bytes.
    std::chrono::milliseconds read_deadline = std::chrono::minutes(15);
    std::string certificates_directory = {};  // for messages
  };
  using Done = std::function<void(StatusOr<ApiResponse>)>;

  /// The repository of `image` as `host` serves it; for a login the registry as a whole.
  static std::shared_ptr<RepositoryApi> Make(const oci::Reference& image, Access access,
                                             RegistryHost host, Dependencies dependencies);

  /// "https://host/v2/<repository>/<rest>"; of a mirror with "?ns=<registry>".
  std::string UrlOf(std::string_view rest) const;
  const Url& base() const { return host_.api; }
  /// Sends `request` until there is a final answer: any HTTP status but redirects. Follows 10
  /// redirects at most; the Authorization header stays with the registry's scheme, host and port.
  /// At another place it is tried for a few seconds only, whatever the deadline (kUnavailable,
  /// kDeadlineExceeded): the registry may name a better one.
  /// Never blocks; `done` is called exactly once, with no lock held.
  void Call(ApiRequest request, Done done);
  /// Call, and wait. Not on the transport's thread.
  StatusOr<ApiResponse> CallAndWait(ApiRequest request);
  /// Waits on the calling thread, which is not the transport's.
  void Wait(std::chrono::milliseconds delay);

  /// The error for an answer that `what` ("blob sha256:...") did not hope for; see FailedRequest.
  Status ErrorOf(const HttpResponse& response, std::string_view what);
  /// The same for `status`, which is OK or an error that names neither registry nor cure yet.
  Status Explain(const Status& status, std::string_view what);
  /// Whether the latest request to the registry carried a login.
  bool HasLoggedIn();
  /// Makes the next request ask for a new token, after a 401 that came in the middle of an upload.
  void ForgetToken();

  /// HostPolicy::CheckStep, for what a call's answer names.
  Status CheckStep(const Url& from, const Url& to) const;
  /// True when a request to `url` would wait, because its host has asked for a pause or is away.
  bool IsPaused(const std::string& url);

  HttpTransport& transport() { return deps_.transport; }
  Clock& clock() { return deps_.clock; }
  const std::shared_ptr<Outages>& outages() const { return deps_.outages; }
  std::chrono::milliseconds read_deadline() const { return deps_.read_deadline; }

 private:
  class CallInProgress;
  RepositoryApi(const oci::Reference& image, Access access, RegistryHost host,
                Dependencies dependencies);
  FailedRequest Failed(std::string_view what);
  TokenRequest TokenRequestOf(const ApiRequest& request) const;
  const Dependencies deps_;
  const RegistryHost host_;
  const std::string domain_;  // "docker.io"
  const std::string repository_;
  const std::string name_;  // "docker.io/library/ubuntu"
  const TokenRequest token_request_;
  Mutex mutex_;  // leaf
  std::string last_authorization_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
