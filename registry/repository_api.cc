#include "registry/repository_api.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/text.h"

namespace starling::registry {
namespace {

constexpr int kMaxRedirects = 10;
/// For so long it is tried where a registry has led to; then the registry may know a better place.
constexpr std::chrono::seconds kPatienceElsewhere(15);

std::string ScopeOf(const oci::Reference& image, Access access) {
  const auto scope = [&image](std::string_view actions) {
    return fmt::format("repository:{}:{}", image.repository(), actions);
  };
  switch (access) {
    case Access::kPush:
      return scope("pull,push");
    case Access::kDelete:
      return scope("pull,delete");
    case Access::kLogin:
      return "";
    case Access::kPull:
      break;
  }
  return scope("pull");
}

bool IsRedirect(const HttpResponse& response) {
  switch (response.status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return true;
    default:
      return false;
  }
}

}  // namespace

/// The state of one Call, from hop to hop.
class RepositoryApi::CallInProgress : public std::enable_shared_from_this<CallInProgress> {
 public:
  CallInProgress(std::shared_ptr<RepositoryApi> api, ApiRequest request, Done done)
      : api_(std::move(api)),
        request_(std::move(request)),
        token_request_(api_->TokenRequestOf(request_)),
        done_(std::move(done)) {}

  void Start() {
    auto url = Url::Parse(request_.url);
    if (!url.ok()) {
      Finish(url.status());
      return;
    }
    GoTo(*std::move(url));
  }

 private:
  RetryPolicy Retry() const {
    RetryPolicy policy = request_.retry;
    if (!AtRegistry()) {
      policy.deadline = std::min(policy.deadline, api_->deps_.clock.Now() + kPatienceElsewhere);
    }
    return policy;
  }

  /// The registry itself, which may see credentials; nobody else does.
  bool AtRegistry() const { return url_->SameOrigin(api_->base()); }

  void GoTo(Url url) {
    url_ = std::move(url);
    authorization_.clear();
    if (!AtRegistry()) {
      Send();
      return;
    }
    api_->deps_.tokens->Authorize(token_request_,
                                  [self = shared_from_this()](StatusOr<std::string> value) {
                                    self->SendWith(std::move(value));
                                  });
  }

  void SendWith(StatusOr<std::string> authorization) {
    if (!authorization.ok()) {
      OnNoToken(authorization.status());
      return;
    }
    authorization_ = *std::move(authorization);
    if (request_.also_pull.empty()) {
      MutexLock lock(api_->mutex_);
      api_->last_authorization_ = authorization_;
    }
    Send();
  }

  /// A token server that is away is an outage like the registry's own.
  void OnNoToken(const Status& error) {
    const bool may_come = IsRetryable(error) || error.code() == StatusCode::kDeadlineExceeded;
    const auto delay = RetryDelay(token_retries_);
    if (!may_come || request_.stop.stop_requested() ||
        token_retries_ >= request_.retry.max_retries ||
        api_->deps_.clock.Now() + delay >= request_.retry.deadline) {
      Finish(error);
      return;
    }
    ++token_retries_;
    api_->deps_.transport.RunAfter(delay, [self = shared_from_this()] { self->GoTo(*self->url_); });
  }

  void Send() {
    HttpRequest http{.method = request_.method,
                     .url = url_->text(),
                     .headers = request_.headers,
                     .body = request_.body,
                     .upload = request_.upload,
                     .upload_bytes = request_.upload_bytes,
                     .download = request_.download,
                     .on_body = request_.on_body,
                     .max_body_bytes = request_.max_body_bytes,
                     .stall_timeout = request_.stall_timeout,
                     .fetch_class = request_.fetch_class,
                     .stop = request_.stop,
                     .own_connection = request_.own_connection,
                     .is_retry = request_.is_retry,
                     .reach = api_->deps_.hosts.ReachOf(api_->base(), *url_)};
    const RegistryHost host = api_->deps_.latest();
    http.connection = ConnectionFor(host.api, host.connection, *url_);
    if (AtRegistry()) {
      std::ranges::copy(host.headers, std::back_inserter(http.headers));
    }
    if (!authorization_.empty()) {
      http.headers.push_back({.name = "Authorization", .value = authorization_});
    }
    http.on_headers = [self = shared_from_this()](const HttpResponse& response) {
      return self->OnHeaders(response);
    };
    SendWithRetries({.transport = api_->deps_.transport,
                     .clock = api_->deps_.clock,
                     .pauses = api_->deps_.pauses,
                     .outages = api_->deps_.outages},
                    std::move(http), Retry(),
                    [self = shared_from_this()](StatusOr<HttpResponse> response) {
                      self->OnResponse(std::move(response));
                    });
  }

  Status OnHeaders(const HttpResponse& response) {
    if (AtRegistry()) {
      api_->deps_.limits->OnAnswer(token_request_.domain, response);
    }
    if (request_.on_location && (response.status == 200 || response.status == 206)) {
      request_.on_location(url_->text());
    }
    const bool final =
        !IsRedirect(response) && response.status != 401 && !IsRetryable(response.status);
    return final && request_.on_headers ? request_.on_headers(response) : OkStatus();
  }

  void OnResponse(StatusOr<HttpResponse> response) {
    if (!response.ok()) {
      Finish(response.status());
      return;
    }
    if (response->status == 401 && AtRegistry() && !request_.upload && !renewed_) {
      Renew(*std::move(response));
      return;
    }
    // Some registries answer so when a login has expired. The next call asks for a new one.
    if (response->status == 403 && !authorization_.empty()) {
      api_->deps_.tokens->Forget(token_request_, authorization_);
    }
    if (IsRedirect(*response) && CanFollow(response->status)) {
      Follow(*response);
      return;
    }
    Finish(ApiResponse{.http = *std::move(response), .url = url_->text()});
  }

  void Renew(HttpResponse unauthorized) {
    renewed_ = true;
    const auto shared = std::make_shared<HttpResponse>(std::move(unauthorized));
    api_->deps_.tokens->Renew(
        token_request_, shared->HeaderValues("WWW-Authenticate"), authorization_,
        [self = shared_from_this(), shared](StatusOr<std::string> value) {
          // Nothing new to show: the first answer stands.
          if (value.ok() && *value == self->authorization_) {
            self->Finish(ApiResponse{.http = std::move(*shared), .url = self->url_->text()});
            return;
          }
          self->SendWith(std::move(value));
        });
  }

  bool CanFollow(int status) const {
    const bool reads = request_.method == "GET" || request_.method == "HEAD";
    return reads || ((status == 307 || status == 308) && !request_.upload);
  }

  void Follow(const HttpResponse& response) {
    if (++redirects_ > kMaxRedirects) {
      Finish(MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("more than {} redirects", kMaxRedirects)));
      return;
    }
    const std::string_view location = response.HeaderValue("Location");
    auto next = url_->Resolve(location);
    if (!next.ok()) {
      Finish(Annotate(next.status(), fmt::format("redirect from {}", url_->ForMessages())));
      return;
    }
    if (const Status allowed = api_->deps_.hosts.CheckStep(*url_, *next); !allowed.ok()) {
      Finish(allowed);
      return;
    }
    GoTo(*std::move(next));
  }

  void Finish(StatusOr<ApiResponse> result) {
    // `done` may hold what holds this call: let go of it first.
    const Done done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  const std::shared_ptr<RepositoryApi> api_;
  const ApiRequest request_;
  const TokenRequest token_request_;
  Done done_;
  std::optional<Url> url_;
  std::string authorization_;
  bool renewed_ = false;
  int redirects_ = 0;
  int token_retries_ = 0;
};

std::shared_ptr<RepositoryApi> RepositoryApi::Make(const oci::Reference& image, Access access,
                                                   RegistryHost host, Dependencies dependencies) {
  return std::shared_ptr<RepositoryApi>(
      new RepositoryApi(image, access, std::move(host), std::move(dependencies)));
}

RepositoryApi::RepositoryApi(const oci::Reference& image, Access access, RegistryHost host,
                             Dependencies dependencies)
    : deps_(std::move(dependencies)),
      host_(std::move(host)),
      domain_(image.domain()),
      repository_(image.repository()),
      name_(fmt::format("{}/{}", image.domain(), image.repository())),
      token_request_{.domain = host_.is_mirror ? host_.name() : std::string(image.domain()),
                     .repository = access == Access::kLogin ? "" : image.repository(),
                     .registry = host_.api,
                     .scope = ScopeOf(image, access),
                     .connection = host_.connection,
                     .may_be_anonymous = access != Access::kLogin} {}

TokenRequest RepositoryApi::TokenRequestOf(const ApiRequest& request) const {
  TokenRequest wanted = token_request_;
  if (!request.also_pull.empty()) {
    wanted.scope += fmt::format(" repository:{}:pull", request.also_pull);
  }
  return wanted;
}

std::string RepositoryApi::UrlOf(std::string_view rest) const {
  const std::string url = fmt::format("{}/{}/{}", host_.api.text(), repository_, rest);
  return host_.is_mirror ? fmt::format("{}?ns={}", url, PercentEncode(domain_)) : url;
}

void RepositoryApi::Call(ApiRequest request, Done done) {
  std::make_shared<CallInProgress>(shared_from_this(), std::move(request), std::move(done))
      ->Start();
}

StatusOr<ApiResponse> RepositoryApi::CallAndWait(ApiRequest request) {
  // Shared: the waiter may be gone before set_value() returns.
  const auto promise = std::make_shared<std::promise<StatusOr<ApiResponse>>>();
  auto result = promise->get_future();
  Call(std::move(request),
       [promise](StatusOr<ApiResponse> response) { promise->set_value(std::move(response)); });
  return result.get();
}

void RepositoryApi::Wait(std::chrono::milliseconds delay) {
  const auto promise = std::make_shared<std::promise<void>>();
  auto waited = promise->get_future();
  deps_.transport.RunAfter(delay, [promise] { promise->set_value(); });
  waited.get();
}

FailedRequest RepositoryApi::Failed(std::string_view what) {
  return {
      .repository = name_,
      .what = std::string(what),
      .url = host_.api.ForMessages(),
      .registry = token_request_.domain,
      .tried = deps_.tokens->Tried(token_request_.domain),
      .limit = deps_.limits->Of(token_request_.domain),
      .certificates_directory = deps_.certificates_directory.empty()
                                    ? std::string()
                                    : fmt::format("{}/{}", deps_.certificates_directory, domain_)};
}

Status RepositoryApi::ErrorOf(const HttpResponse& response, std::string_view what) {
  return FailureOf(Failed(what), response);
}

Status RepositoryApi::Explain(const Status& status, std::string_view what) {
  return FailureOf(Failed(what), status);
}

Status RepositoryApi::CheckStep(const Url& from, const Url& to) const {
  return deps_.hosts.CheckStep(from, to);
}

bool RepositoryApi::IsPaused(const std::string& url) {
  const auto now = deps_.clock.Now();
  return deps_.pauses->IsPaused(HostPauses::KeyOf(url), now) ||
         deps_.outages->IsAway(Outages::PlaceOf(url), now);
}

bool RepositoryApi::HasLoggedIn() {
  MutexLock lock(mutex_);
  return !last_authorization_.empty();
}

void RepositoryApi::ForgetToken() {
  std::string last;
  {
    MutexLock lock(mutex_);
    last = last_authorization_;
  }
  deps_.tokens->Forget(token_request_, last);
}

}  // namespace starling::registry
