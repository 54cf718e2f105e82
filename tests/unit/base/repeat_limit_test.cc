#include "base/repeat_limit.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

using std::chrono::seconds;

TEST(RepeatLimit, LetsOneThroughInAWhileAndCountsTheRest) {
  RepeatLimit limit(seconds(60));
  RepeatLimit::TimePoint now{std::chrono::hours(1)};
  EXPECT_EQ(limit.Admit("a", now), 0u);
  EXPECT_EQ(limit.Admit("a", now), std::nullopt);
  EXPECT_EQ(limit.Admit("b", now), 0u);
  now += seconds(59);
  EXPECT_EQ(limit.Admit("a", now), std::nullopt);
  now += seconds(1);
  EXPECT_EQ(limit.Admit("a", now), 2u);
  now += seconds(60);
  EXPECT_EQ(limit.Admit("a", now), 0u);
}

TEST(RepeatLimit, HoldsABoundedNumberOfKeys) {
  RepeatLimit limit(seconds(60));
  RepeatLimit::TimePoint now{std::chrono::hours(1)};
  int admitted = 0;
  for (int i = 0; i < 5000; ++i) {
    admitted += limit.Admit(std::to_string(i), now).has_value() ? 1 : 0;
  }
  EXPECT_EQ(admitted, 1025) << "what is too much goes through once, together";
  now += seconds(60);
  EXPECT_EQ(limit.Admit("5001", now), 0u);
  EXPECT_EQ(limit.Admit("5002", now), 0u);
}

}  // namespace
}  // namespace starling
