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
  Attempts(const RetryDependencies& dependencies, HttpRequest request, RetryPolicy policy,
           HttpTransport::Done done)
      : deps_(dependencies),
        request_(std::move(request)),
        pause_key_(HostPauses::KeyOf(request_.url)),
        policy_(policy),
        done_(std::move(done)) {}

  void Start() {
    if (request_.stop.stop_requested()) {
      Finish(MakeError(StatusCode::kCancelled, "nobody wants the answer any more"));
      return;
    }
    const HostPauses::Admission admission = deps_.pauses->Ask(pause_key_, deps_.clock.Now());
    if (admission.verdict != HostPauses::Verdict::kWait) {
      is_probe_ = admission.verdict == HostPauses::Verdict::kProbe;
      Send();
      return;
    }
    if (admission.wait >= Left()) {
      Finish(last_.value_or(MakeError(
          StatusCode::kUnavailable,
          fmt::format("the host has asked for a pause of {} ms more, which is longer than there "
                      "is time",
                      admission.wait.count()))));
      return;
    }
    StartAfter(admission.wait);
  }

 private:
  milliseconds Left() const {
    return std::chrono::duration_cast<milliseconds>(policy_.deadline - deps_.clock.Now());
  }

  void StartAfter(milliseconds delay) {
    deps_.transport.RunAfter(delay, [self = shared_from_this(), due = deps_.clock.Now() + delay] {
      // Too early: the transport shuts down, and will say so.
      if (self->deps_.clock.Now() < due) {
        self->Send();
      } else {
        self->Start();
      }
    });
  }

  void Send() {
    HttpRequest request = request_;
    request.timeout = Left();
    if (request.timeout <= milliseconds(0)) {
      EndProbe();
      Finish(MakeError(StatusCode::kDeadlineExceeded, "no time left to send the request"));
      return;
    }
    if (is_probe_) {
      // The others need not wait for its body.
      request.on_headers = [self = shared_from_this()](const HttpResponse& response) {
        if (!AsksForPause(response)) {
          self->EndProbe();
        }
        return self->request_.on_headers ? self->request_.on_headers(response) : OkStatus();
      };
    }
    deps_.transport.Send(std::move(request),
                         [self = shared_from_this()](StatusOr<HttpResponse> result) {
                           self->OnResult(std::move(result));
                         });
  }

  void EndProbe() {
    if (std::exchange(is_probe_, false)) {
      deps_.pauses->Resume(pause_key_);
    }
  }

  void OnResult(StatusOr<HttpResponse> result) {
    const milliseconds delay = DelayBeforeRetry(result);
    if (!WorthRetrying(result) || retries_ >= policy_.max_retries || delay >= Left()) {
      Finish(std::move(result));
      return;
    }
    ++retries_;
    last_ = std::move(result);
    StartAfter(delay);
  }

  bool WorthRetrying(const StatusOr<HttpResponse>& result) const {
    if (result.ok()) {
      return IsRetryable(result->status) && !request_.upload;
    }
    return IsRetryable(result.status()) && !request_.upload && !request_.download;
  }

  /// Also tells everybody else that there is a pause.
  milliseconds DelayBeforeRetry(const StatusOr<HttpResponse>& result) {
    if (!result.ok()) {
      EndProbe();
      return RetryDelay(retries_);
    }
    const auto asked = ParseRetryAfter(result->HeaderValue("Retry-After"), deps_.clock.WallTime());
    if (AsksForPause(*result)) {
      is_probe_ = false;
      return deps_.pauses->Pause(pause_key_, asked, deps_.clock.Now());
    }
    EndProbe();
    return asked ? std::max(*asked, kFirstDelay) : RetryDelay(retries_);
  }

  static bool AsksForPause(const HttpResponse& response) {
    return response.status == 429 ||
           (response.status == 503 && !response.HeaderValue("Retry-After").empty());
  }

  void Finish(StatusOr<HttpResponse> result) { std::exchange(done_, nullptr)(std::move(result)); }

  const RetryDependencies deps_;
  const HttpRequest request_;
  const std::string pause_key_;
  const RetryPolicy policy_;
  HttpTransport::Done done_;
  std::optional<StatusOr<HttpResponse>> last_;
  int retries_ = 0;
  bool is_probe_ = false;  // others wait for its answer
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

void SendWithRetries(const RetryDependencies& dependencies, HttpRequest request, RetryPolicy policy,
                     HttpTransport::Done done) {
  std::make_shared<Attempts>(dependencies, std::move(request), policy, std::move(done))->Start();
}

}  // namespace starling::registry
