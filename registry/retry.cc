#include "registry/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <string>
#include <utility>

namespace starling::registry {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay{100};
constexpr milliseconds kLongestDelay{10'000};

class Attempts : public std::enable_shared_from_this<Attempts> {
 public:
  Attempts(HttpTransport& transport, const Clock& clock, HttpRequest request, RetryPolicy policy,
           HttpTransport::Done done)
      : transport_(transport),
        clock_(clock),
        request_(std::move(request)),
        policy_(policy),
        done_(std::move(done)) {}

  void Start() {
    HttpRequest request = request_;
    request.timeout = Left();
    if (request.timeout <= milliseconds(0)) {
      std::exchange(done_, nullptr)(
          MakeError(StatusCode::kDeadlineExceeded, "no time left to send the request"));
      return;
    }
    transport_.Send(std::move(request), [self = shared_from_this()](StatusOr<HttpResponse> result) {
      self->OnResult(std::move(result));
    });
  }

 private:
  milliseconds Left() const {
    return std::chrono::duration_cast<milliseconds>(policy_.deadline - clock_.Now());
  }

  void OnResult(StatusOr<HttpResponse> result) {
    const milliseconds delay = DelayBeforeRetry(result);
    if (!WorthRetrying(result) || retries_ >= policy_.max_retries || delay >= Left()) {
      std::exchange(done_, nullptr)(std::move(result));
      return;
    }
    ++retries_;
    transport_.RunAfter(delay, [self = shared_from_this()] { self->Start(); });
  }

  bool WorthRetrying(const StatusOr<HttpResponse>& result) const {
    if (result.ok()) {
      return IsRetryable(result->status) && !request_.upload;
    }
    return IsRetryable(result.status()) && !request_.upload && !request_.download;
  }

  milliseconds DelayBeforeRetry(const StatusOr<HttpResponse>& result) const {
    if (result.ok()) {
      const auto asked = ParseRetryAfter(result->HeaderValue("Retry-After"), clock_.WallTime());
      if (asked) {
        return std::max(*asked, kFirstDelay);
      }
    }
    return RetryDelay(retries_);
  }

  HttpTransport& transport_;
  const Clock& clock_;
  const HttpRequest request_;
  const RetryPolicy policy_;
  HttpTransport::Done done_;
  int retries_ = 0;
};

}  // namespace

bool IsRetryable(int http_status) {
  return http_status == 408 || http_status == 429 ||
         (http_status >= 500 && http_status <= 599 && http_status != 501 && http_status != 505);
}

bool IsRetryable(const Status& status) { return status.code() == StatusCode::kUnavailable; }

milliseconds RetryDelay(int retry) {
  thread_local std::minstd_rand random(std::random_device{}());
  const milliseconds longest =
      std::min(kLongestDelay, kFirstDelay * (int64_t{1} << std::clamp(retry, 0, 16)));
  return milliseconds(
      std::uniform_int_distribution<int64_t>(longest.count() / 2, longest.count())(random));
}

std::optional<milliseconds> ParseRetryAfter(std::string_view value,
                                            std::chrono::system_clock::time_point now) {
  constexpr uint64_t kMaxSeconds = 24 * 3600;
  if (value.empty() || value.size() > 64) {
    return std::nullopt;
  }
  uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size()) {
    return std::chrono::seconds(std::min(seconds, kMaxSeconds));
  }
  const time_t date = curl_getdate(std::string(value).c_str(), nullptr);
  if (date == -1) {
    return std::nullopt;
  }
  const auto wait =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::from_time_t(date) - now);
  return std::clamp<milliseconds>(wait, milliseconds(0), std::chrono::seconds(kMaxSeconds));
}

void SendWithRetries(HttpTransport& transport, const Clock& clock, HttpRequest request,
                     RetryPolicy policy, HttpTransport::Done done) {
  std::make_shared<Attempts>(transport, clock, std::move(request), policy, std::move(done))
      ->Start();
}

}  // namespace starling::registry
