#include "registry/retry.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <limits>
#include <stop_token>
#include <utility>
#include <vector>

#include "tests/support/manual_executor.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;

TEST(ParseRetryAfter, ReadsSecondsAndDates) {
  const auto now = std::chrono::system_clock::from_time_t(1767225600);  // 2026-01-01T00:00:00Z
  const struct {
    const char* value;
    std::optional<milliseconds> want;
  } cases[] = {
      {"0", milliseconds(0)},
      {"120", milliseconds(120000)},
      {"99999999999", std::chrono::hours(24)},
      {"Thu, 01 Jan 2026 00:00:05 GMT", milliseconds(5000)},
      {"Thu, 01 Jan 2015 00:00:05 GMT", milliseconds(0)},
      {"", std::nullopt},
      {"-5", std::nullopt},
      {"soon", std::nullopt},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ParseRetryAfter(c.value, now), c.want) << c.value;
  }
}

TEST(RetryDelay, GrowsToItsLimit) {
  for (const int retry : {0, 3, 6, 7, 60, 1000000}) {
    const milliseconds longest = retry < 7 ? milliseconds(100 << retry) : milliseconds(10000);
    EXPECT_GE(RetryDelay(retry), longest / 2);
    EXPECT_LE(RetryDelay(retry), longest);
  }
}

/// A network that answers when a test says so.
class HeldTransport : public HttpTransport {
 public:
  explicit HeldTransport(testing_support::ManualTimer& timer) : timer_(timer) {}
  void Send(HttpRequest request, Done done) override {
    sent_.emplace_back(std::move(request), std::move(done));
    if (at_once) {
      AnswerFirst(at_once());
    }
  }
  /// Answers what is sent from now on.
  std::function<StatusOr<HttpResponse>()> at_once;
  void RunAfter(milliseconds delay, std::function<void()> task) override {
    timer_.RunAfter(delay, std::move(task));
  }
  /// Requests without an answer yet.
  size_t open() const { return sent_.size(); }
  size_t answered() const { return answered_; }
  void AnswerFirst(StatusOr<HttpResponse> response) {
    const auto [request, done] = std::move(sent_.front());
    sent_.pop_front();
    ++answered_;
    if (response.ok() && request.on_headers) {
      ASSERT_TRUE(request.on_headers(*response).ok());
    }
    done(std::move(response));
  }
  bool is_first_a_retry() const { return sent_.front().first.is_retry; }
  /// Bytes of the first request's body came.
  void GiveBody(std::string_view bytes) {
    ASSERT_TRUE(sent_.front().first.on_body(AsBytes(bytes)).ok());
  }
  /// Status and headers of the first request came, its body not yet.
  void BeginAnswer(const HttpResponse& response) {
    ASSERT_TRUE(sent_.front().first.on_headers(response).ok());
  }

 private:
  testing_support::ManualTimer& timer_;
  std::deque<std::pair<HttpRequest, Done>> sent_;
  size_t answered_ = 0;
};

HttpResponse AskForPause(int status, const std::string& seconds) {
  HttpResponse response{.status = status};
  if (!seconds.empty()) {
    response.headers.push_back({.name = "Retry-After", .value = seconds});
  }
  return response;
}

class SendWithRetriesTest : public testing::Test {
 protected:
  void Send(const std::string& url = "https://a.example/v2/b/blobs/x",
            milliseconds timeout = std::chrono::seconds(300), int max_retries = 5) {
    HttpRequest request{.url = url};
    SendWithRetries(
        {.transport = transport_, .clock = clock_, .pauses = pauses_, .outages = outages_},
        std::move(request), {.deadline = clock_.Now() + timeout, .max_retries = max_retries},
        [this](StatusOr<HttpResponse> result) {
          results_.push_back(result.ok() ? result->status
                                         : -static_cast<int>(result.status().code()));
        });
  }
  /// Whole seconds, so that what is added at random does not matter.
  void Pass(int seconds) {
    for (int i = 0; i < seconds * 10; ++i) {
      timer_.Advance(milliseconds(100));
    }
  }

  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  HeldTransport transport_{timer_};
  const std::shared_ptr<HostPauses> pauses_ = std::make_shared<HostPauses>();
  std::vector<OutageEvent> events_;
  const std::shared_ptr<Outages> outages_ =
      std::make_shared<Outages>([this](const OutageEvent& event) { events_.push_back(event); });
  std::vector<int> results_;  // status, or the negative code
};

TEST_F(SendWithRetriesTest, AllRequestsToAHostKeepOnePause) {
  for (const int status : {429, 503}) {
    SCOPED_TRACE(status);
    results_.clear();
    for (int i = 0; i < 5; ++i) {
      Send();
    }
    for (int i = 0; i < 5; ++i) {
      transport_.AnswerFirst(AskForPause(status, "10"));
    }
    Send();
    Pass(9);
    EXPECT_EQ(transport_.open(), 0u) << "also what comes during the pause waits";
    Pass(3);
    ASSERT_EQ(transport_.open(), 1u) << "one finds out";
    transport_.AnswerFirst(AskForPause(status, "20"));
    Pass(19);
    EXPECT_EQ(transport_.open(), 0u);
    Pass(3);
    ASSERT_EQ(transport_.open(), 1u) << "again one";
    transport_.BeginAnswer({.status = 206});
    Pass(1);
    EXPECT_EQ(transport_.open(), 6u) << "its headers are enough for the others";
    while (transport_.open() > 0) {
      transport_.AnswerFirst(HttpResponse{.status = 206});
    }
    EXPECT_EQ(results_, std::vector<int>(6, 206));
    EXPECT_EQ(timer_.waiting(), 0u);
    Send();
    EXPECT_EQ(transport_.open(), 1u) << "the pause is over";
    transport_.AnswerFirst(HttpResponse{.status = 200});
  }
  EXPECT_EQ(transport_.answered(), 2u * 13);
}

TEST_F(SendWithRetriesTest, WhatIsSentAgainSaysSo) {
  Send();
  EXPECT_FALSE(transport_.is_first_a_retry());
  transport_.AnswerFirst(HttpResponse{.status = 500});
  Pass(1);
  ASSERT_EQ(transport_.open(), 1u);
  EXPECT_TRUE(transport_.is_first_a_retry());
  transport_.AnswerFirst(HttpResponse{.status = 200});
}

TEST_F(SendWithRetriesTest, OthersAreNotHeldUp) {
  Send();
  transport_.AnswerFirst(AskForPause(429, "10"));
  Send("https://b.example/v2/b/blobs/x");
  Send("https://a.example/v2/b/manifests/x");
  EXPECT_EQ(transport_.open(), 2u) << "another host, and what the registry counts apart";
  Send("https://a.example/v2/other/blobs/y");
  EXPECT_EQ(transport_.open(), 2u);
}

TEST_F(SendWithRetriesTest, NobodyWaitsPastTheDeadline) {
  Send();
  transport_.AnswerFirst(AskForPause(429, "10"));
  Send("https://a.example/v2/b/blobs/x", std::chrono::seconds(5));
  EXPECT_EQ(results_, std::vector<int>{-static_cast<int>(StatusCode::kUnavailable)})
      << "at once, because waiting is no use";
  Send("https://b.example/", std::chrono::seconds(5));
  transport_.AnswerFirst(AskForPause(429, "10"));
  EXPECT_EQ(results_.back(), 429) << "what the host said";
  Pass(12);
  EXPECT_EQ(transport_.open(), 1u) << "who has time";
}

TEST_F(SendWithRetriesTest, APauseHasAnEnd) {
  Send();
  transport_.AnswerFirst(AskForPause(429, "86400"));
  Pass(59);
  EXPECT_EQ(transport_.open(), 0u);
  Pass(2);
  EXPECT_EQ(transport_.open(), 1u);
}

TEST_F(SendWithRetriesTest, WhoFindsOutMayFail) {
  for (int i = 0; i < 3; ++i) {
    Send();
  }
  for (int i = 0; i < 3; ++i) {
    transport_.AnswerFirst(AskForPause(429, "1"));
  }
  Pass(2);
  ASSERT_EQ(transport_.open(), 1u);
  transport_.AnswerFirst(MakeError(StatusCode::kUnavailable, "reset"));
  Pass(1);
  EXPECT_EQ(transport_.open(), 3u) << "an outage is no pause: each tries again for itself";
}

TEST_F(SendWithRetriesTest, WhoFindsOutMayTakeTooLong) {
  Send();
  Send();
  transport_.AnswerFirst(AskForPause(429, "1"));
  transport_.AnswerFirst(AskForPause(429, "1"));
  Pass(2);
  EXPECT_EQ(transport_.open(), 1u);
  Pass(6);
  EXPECT_EQ(transport_.open(), 2u);
}

TEST_F(SendWithRetriesTest, WithoutRetryAfterOnly429IsAPause) {
  Send();
  transport_.AnswerFirst(AskForPause(503, ""));
  Send();
  EXPECT_EQ(transport_.open(), 1u) << "503 alone is the matter of one request";
  transport_.AnswerFirst(AskForPause(429, ""));
  Send();
  EXPECT_EQ(transport_.open(), 0u);
  Pass(1);
  EXPECT_EQ(transport_.open(), 1u) << "100 ms at first";
}

StatusOr<HttpResponse> Refused() {
  return MakeError(StatusCode::kUnavailable, "connection refused");
}
constexpr int kNoEnd = std::numeric_limits<int>::max();
const std::string kBlob = "https://a.example/v2/b/blobs/x";

TEST_F(SendWithRetriesTest, AnOutageOfTenMinutesCostsFewRequestsWhoeverWaits) {
  for (const auto& down : {std::function(Refused), std::function([]() -> StatusOr<HttpResponse> {
                             return HttpResponse{.status = 503};
                           })}) {
    results_.clear();
    events_.clear();
    const size_t before = transport_.answered();
    transport_.at_once = down;
    for (int i = 0; i < 50; ++i) {
      Send(kBlob, std::chrono::minutes(15), kNoEnd);
    }
    Pass(600);
    EXPECT_TRUE(results_.empty()) << "nobody gets an error";
    EXPECT_LT(transport_.answered() - before, 50 + 20 + 600 / 5u);
    ASSERT_EQ(events_.size(), 1u) << "told once";
    EXPECT_EQ(events_[0].kind, OutageEvent::Kind::kAway);
    EXPECT_EQ(events_[0].place, "https://a.example");
    EXPECT_EQ(events_[0].waiting, 50u);
    EXPECT_NE(events_[0].error, "");
    transport_.at_once = [] { return HttpResponse{.status = 206}; };
    Pass(12);
    EXPECT_EQ(results_, std::vector<int>(50, 206)) << "all go on by themselves";
    ASSERT_EQ(events_.size(), 2u);
    EXPECT_EQ(events_[1].kind, OutageEvent::Kind::kBack);
    EXPECT_GE(events_[1].lasted, std::chrono::seconds(600));
  }
}

TEST_F(SendWithRetriesTest, OneFindsOutWhetherTheHostIsBack) {
  for (int i = 0; i < 4; ++i) {
    Send(kBlob, std::chrono::minutes(15), kNoEnd);
  }
  for (int i = 0; i < 4; ++i) {
    transport_.AnswerFirst(Refused());
  }
  Send(kBlob, std::chrono::minutes(15), kNoEnd);
  EXPECT_EQ(transport_.open(), 0u) << "who comes later waits, too";
  Pass(1);
  EXPECT_EQ(transport_.open(), 1u);
  Pass(11);
  EXPECT_EQ(transport_.open(), 1u) << "a host that says nothing";
  Pass(3);
  EXPECT_EQ(transport_.open(), 2u) << "another one asks";
  transport_.BeginAnswer({.status = 206});
  Pass(1);
  EXPECT_EQ(transport_.open(), 5u) << "headers are enough for the others";
  while (transport_.open() > 0) {
    transport_.AnswerFirst(HttpResponse{.status = 206});
  }
  EXPECT_EQ(results_, std::vector<int>(5, 206));
}

TEST_F(SendWithRetriesTest, AtItsDeadlineAWaitEndsWithTheReason) {
  transport_.at_once = Refused;
  Status got;
  SendWithRetries(
      {.transport = transport_, .clock = clock_, .pauses = pauses_, .outages = outages_},
      {.url = kBlob}, {.deadline = clock_.Now() + std::chrono::seconds(60), .max_retries = kNoEnd},
      [&got](const StatusOr<HttpResponse>& result) { got = result.status(); });
  Pass(59);
  EXPECT_TRUE(got.ok());
  Pass(2);
  EXPECT_EQ(got.code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(Describe(got).find("connection refused"), std::string::npos) << got;
  EXPECT_EQ(timer_.waiting(), 0u);
}

TEST_F(SendWithRetriesTest, WhoHasAnotherPlaceToAskDoesNotWait) {
  transport_.at_once = Refused;
  for (int i = 0; i < 3; ++i) {
    Send(kBlob, std::chrono::minutes(15), kNoEnd);
  }
  const size_t before = transport_.answered();
  Send(kBlob, std::chrono::minutes(15), 1);
  EXPECT_EQ(results_, std::vector<int>{-static_cast<int>(StatusCode::kUnavailable)});
  EXPECT_EQ(transport_.answered(), before);
  Send("https://b.example/", std::chrono::minutes(15), 0);
  EXPECT_EQ(transport_.answered(), before + 1) << "other hosts are not away";
  Pass(1);
  Send(kBlob, std::chrono::seconds(30), 5);
  Pass(31);
  EXPECT_EQ(results_.size(), 3u) << "each wait is one of the retries";
}

TEST_F(SendWithRetriesTest, WhatBrokeInTheMiddleIsNotAskedForAgain) {
  transport_.at_once = nullptr;
  HttpRequest request{.url = kBlob};
  request.on_body = [](ByteSpan) { return OkStatus(); };
  Status got;
  SendWithRetries(
      {.transport = transport_, .clock = clock_, .pauses = pauses_, .outages = outages_},
      std::move(request),
      {.deadline = clock_.Now() + std::chrono::seconds(60), .max_retries = kNoEnd},
      [&got](const StatusOr<HttpResponse>& result) { got = result.status(); });
  transport_.GiveBody("abc");
  transport_.AnswerFirst(Refused());
  EXPECT_EQ(got.code(), StatusCode::kUnavailable);
  EXPECT_EQ(transport_.answered(), 1u);
}

TEST_F(SendWithRetriesTest, NothingIsSentForWhoHasStopped) {
  std::stop_source stop;
  StatusCode code = StatusCode::kOk;
  SendWithRetries(
      {.transport = transport_, .clock = clock_, .pauses = pauses_, .outages = outages_},
      {.url = "https://a.example/", .stop = stop.get_token()},
      {.deadline = clock_.Now() + std::chrono::seconds(300)},
      [&code](const StatusOr<HttpResponse>& result) { code = result.status().code(); });
  transport_.AnswerFirst(MakeError(StatusCode::kUnavailable, "reset"));
  stop.request_stop();
  Pass(1);
  EXPECT_EQ(code, StatusCode::kCancelled);
  EXPECT_EQ(transport_.open(), 0u) << "not tried again";
}

/// Ends delays at once and answers nothing any more, as the protocol of shutting down says.
class StoppedTransport : public HttpTransport {
 public:
  void Send(HttpRequest, Done done) override {
    ++sent;
    done(MakeError(StatusCode::kCancelled, "shutting down"));
  }
  void RunAfter(milliseconds, std::function<void()> task) override { task(); }
  int sent = 0;
};

TEST_F(SendWithRetriesTest, ATransportThatShutsDownEndsTheWait) {
  pauses_->Pause(HostPauses::KeyOf("https://a.example/"), std::chrono::seconds(10), clock_.Now());
  StoppedTransport stopped;
  StatusCode code = StatusCode::kOk;
  SendWithRetries({.transport = stopped, .clock = clock_, .pauses = pauses_, .outages = outages_},
                  {.url = "https://a.example/"},
                  {.deadline = clock_.Now() + std::chrono::seconds(300)},
                  [&code](const StatusOr<HttpResponse>& result) { code = result.status().code(); });
  EXPECT_EQ(code, StatusCode::kCancelled);
  EXPECT_EQ(stopped.sent, 1);
}

TEST(IsRetryable, TellsPassingTroubleFromAnswers) {
  for (const int status : {408, 429, 500, 502, 503, 504}) EXPECT_TRUE(IsRetryable(status));
  for (const int status : {200, 206, 307, 400, 401, 403, 404, 416, 501, 505, 600}) {
    EXPECT_FALSE(IsRetryable(status));
  }
  EXPECT_TRUE(IsRetryable(MakeError(StatusCode::kUnavailable, "")));
  EXPECT_FALSE(IsRetryable(MakeError(StatusCode::kDataLoss, "")));
  EXPECT_FALSE(IsRetryable(MakeError(StatusCode::kCancelled, "")));
}

}  // namespace
}  // namespace starling::registry
