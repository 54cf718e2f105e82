#include "registry/retry.h"

#include <gtest/gtest.h>

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
