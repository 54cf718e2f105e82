#include "registry/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <string>
#include <utility>

#include "registry/url.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay{100};
constexpr milliseconds kLongestDelay{10'000};
constexpr milliseconds kMaxSpread{500};

using TimePoint = std::chrono::steady_clock::time_point;

/// Without the query, which may hold a signature.
std::string PathOf(std::string_view url) { return std::string(url.substr(0, url.find('?'))); }

class Attempts : public std::enable_shared_from_this<Attempts> {
 public:
  Attempts(const RetryDependencies& dependencies, HttpRequest request, RetryPolicy policy,
           HttpTransport::Done done)
      : deps_(dependencies),
        request_(std::move(request)),
        pause_key_(HostPauses::KeyOf(request_.url)),
        policy_(policy),
        done_(std::move(done)),
        visit_(deps_.outages, Outages::PlaceOf(request_.url), PathOf(request_.url)) {}

  void Start() {
    if (request_.stop.stop_requested()) {
      Finish(MakeError(StatusCode::kCancelled, "nobody wants the answer any more"));
      return;
    }
    if (WaitsForHost()) {
      return;
    }
    const HostPauses::Admission admission = deps_.pauses->Ask(pause_key_, deps_.clock.Now());
    if (admission.verdict != HostPauses::Verdict::kWait) {
      is_probe_ = admission.verdict == HostPauses::Verdict::kProbe;
      Send();
      return;
    }
    visit_.Ended();
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

  /// True when the host is away: then the request waits, or has ended.
  bool WaitsForHost() {
    const Outages::Admission admission = visit_.Ask(deps_.clock.Now());
    if (admission.verdict != Outages::Verdict::kWait) {
      return false;
    }
    const bool may_wait = policy_.max_retries > 1 && retries_ < policy_.max_retries;
    if (Left() <= milliseconds(0) || !may_wait) {
      FinishAway(may_wait ? StatusCode::kDeadlineExceeded : StatusCode::kUnavailable);
      return true;
    }
    retries_ += admission.is_probed ? 0 : 1;
    StartAfter(std::min(admission.wait, Left()));
    return true;
  }

  void FinishAway(StatusCode code) {
    const Status reason = visit_.Reason(deps_.clock.Now());
    if (reason.ok()) {
      Finish(last_.value_or(MakeError(code, "no time left to send the request")));
    } else {
      Finish(MakeError(code, MessageOf(reason)));
    }
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
    request.is_retry = request_.is_retry || retries_ > 0;
    if (request.timeout <= milliseconds(0)) {
      EndProbe();
      visit_.Ended();
      FinishAway(StatusCode::kDeadlineExceeded);
      return;
    }
    has_answered_ = false;
    // The others need not wait for its body.
    request.on_headers = [self = shared_from_this()](const HttpResponse& response) {
      self->OnHeaders(response);
      return self->request_.on_headers ? self->request_.on_headers(response) : OkStatus();
    };
    if (request_.on_body) {
      request.on_body = [self = shared_from_this()](ByteSpan bytes) {
        self->body_begun_ = true;
        return self->request_.on_body(bytes);
      };
    }
    deps_.transport.Send(std::move(request),
                         [self = shared_from_this()](StatusOr<HttpResponse> result) {
                           self->OnResult(std::move(result));
                         });
  }

  void OnHeaders(const HttpResponse& response) {
    if (!AsksForPause(response)) {
      EndProbe();
    }
    if (!IsTrouble(response)) {
      has_answered_ = true;
      visit_.Answered(deps_.clock.Now());
    }
  }

  void EndProbe() {
    if (std::exchange(is_probe_, false)) {
      deps_.pauses->Resume(pause_key_);
    }
  }

  void OnResult(StatusOr<HttpResponse> result) {
    milliseconds delay = DelayBeforeRetry(result);
    const bool is_away = TellOutages(result, delay);
    if (!WorthRetrying(result) || retries_ >= policy_.max_retries ||
        (!is_away && delay >= Left())) {
      Finish(std::move(result));
      return;
    }
    ++retries_;
    last_ = std::move(result);
    StartAfter(std::clamp(Left(), milliseconds(0), delay));
  }

  /// True when the host is away, which lasts for `delay` at least.
  bool TellOutages(const StatusOr<HttpResponse>& result, milliseconds& delay) {
    const TimePoint now = deps_.clock.Now();
    const bool is_failure =
        result.ok() ? IsTrouble(*result) : IsRetryable(result.status()) && !has_answered_;
    if (is_failure) {
      const auto wait = visit_.Failed(
          result.ok() ? MakeError(StatusCode::kUnavailable,
                                  fmt::format("{} {}: answered {}", request_.method,
                                              Printable(PathOf(request_.url), 200), result->status))
                      : result.status(),
          now);
      delay = std::max(delay, wait.value_or(delay));
      return wait.has_value();
    }
    visit_.Ended();
    return false;
  }

  bool WorthRetrying(const StatusOr<HttpResponse>& result) const {
    if (result.ok()) {
      return IsRetryable(result->status) && !request_.upload;
    }
    return IsRetryable(result.status()) && !request_.upload && !request_.download && !body_begun_;
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

  /// The host itself is in trouble, and asks for nothing.
  static bool IsTrouble(const HttpResponse& response) {
    return IsRetryable(response.status) && !AsksForPause(response);
  }

  void Finish(StatusOr<HttpResponse> result) { std::exchange(done_, nullptr)(std::move(result)); }

  const RetryDependencies deps_;
  const HttpRequest request_;
  const std::string pause_key_;
  const RetryPolicy policy_;
  HttpTransport::Done done_;
  std::optional<StatusOr<HttpResponse>> last_;
  int retries_ = 0;
  bool is_probe_ = false;      // others wait for its answer
  bool has_answered_ = false;  // the host is there, whatever becomes of the body
  bool body_begun_ = false;
  Outages::Visit visit_;
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

milliseconds WithSpread(std::chrono::steady_clock::duration wait) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto least = std::chrono::ceil<milliseconds>(wait);
  const milliseconds longest = std::min(least / 10, kMaxSpread);
  return least + milliseconds(std::uniform_int_distribution<int64_t>(0, longest.count())(random));
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
