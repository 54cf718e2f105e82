#include "base/timestamp.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

TEST(ParseTimestamp, ReadsRfc3339) {
  const struct {
    std::string_view text;
    std::optional<int64_t> want;
  } cases[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"2024-02-29T12:34:56Z", 1709210096},
      {"2024-02-29T12:34:56.999999999Z", 1709210096},
      {"2024-02-29T13:34:56+01:00", 1709210096},
      {"2024-02-29T07:04:56.5-05:30", 1709210096},
      {"1969-12-31T23:59:59Z", -1},
      {"0001-01-01T00:00:00Z", -62135596800},
      {"0000-01-01T00:00:00Z", -62167219200},
      {"9999-12-31T23:59:59Z", 253402300799},
      {"2016-12-31T23:59:60Z", 1483228800},
      {"", std::nullopt},
      {"2024-02-29", std::nullopt},
      {"2024-02-29T12:34:56", std::nullopt},
      {"2024-02-29 12:34:56Z", std::nullopt},
      {"2023-02-29T12:34:56Z", std::nullopt},
      {"2024-13-01T00:00:00Z", std::nullopt},
      {"2024-00-01T00:00:00Z", std::nullopt},
      {"2024-01-32T00:00:00Z", std::nullopt},
      {"2024-01-00T00:00:00Z", std::nullopt},
      {"2024-01-01T24:00:00Z", std::nullopt},
      {"2024-01-01T00:60:00Z", std::nullopt},
      {"2024-01-01T00:00:61Z", std::nullopt},
      {"2024-01-01T00:00:00.Z", std::nullopt},
      {"2024-01-01T00:00:00.5", std::nullopt},
      {"2024-01-01T00:00:00z", std::nullopt},
      {"2024-01-01T00:00:00+0100", std::nullopt},
      {"2024-01-01T00:00:00+24:00", std::nullopt},
      {"2024-01-01T00:00:00+01:60", std::nullopt},
      {"2024-01-01T00:00:00Z ", std::nullopt},
      {"-024-01-01T00:00:00Z", std::nullopt},
      {"2024-+1-01T00:00:00Z", std::nullopt},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(ParseTimestamp(c.text), c.want);
  }
}

TEST(TimestampText, IsUtcInWholeSeconds) {
  const std::chrono::system_clock::time_point leap_day{std::chrono::seconds(1709210096)};
  EXPECT_EQ(TimestampText(leap_day), "2024-02-29T12:34:56Z");
  EXPECT_EQ(TimestampText(leap_day + std::chrono::milliseconds(999)), "2024-02-29T12:34:56Z");
  EXPECT_EQ(TimestampText({}), "1970-01-01T00:00:00Z");
}

}  // namespace
}  // namespace starling
