#include "layer/member_quarantine.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

using std::chrono::seconds;

const MemberQuarantine::TimePoint kNow{std::chrono::hours(1)};

TEST(MemberQuarantine, LastsUntilItsTimeIsOver) {
  MemberQuarantine quarantine;
  quarantine.Add(3, kNow + seconds(30), MakeError(StatusCode::kDataLoss, "wrong"));
  EXPECT_EQ(quarantine.ErrorOf(3, kNow + seconds(29)).code(), StatusCode::kDataLoss);
  EXPECT_TRUE(quarantine.Has(3));
  EXPECT_TRUE(quarantine.ErrorOf(2, kNow).ok()) << "another one";
  EXPECT_FALSE(quarantine.Has(2));
  EXPECT_TRUE(quarantine.ErrorOf(3, kNow + seconds(30)).ok());
  EXPECT_FALSE(quarantine.Has(3));
}

TEST(MemberQuarantine, TheLatestErrorCounts) {
  MemberQuarantine quarantine;
  quarantine.Add(3, kNow + seconds(30), MakeError(StatusCode::kDataLoss, "wrong"));
  quarantine.Add(3, kNow + seconds(10), MakeError(StatusCode::kOutOfRange, "refused"));
  EXPECT_EQ(quarantine.ErrorOf(3, kNow).code(), StatusCode::kOutOfRange);
  EXPECT_TRUE(quarantine.ErrorOf(3, kNow + seconds(10)).ok());
}

TEST(MemberQuarantine, LetsGoOfThoseWhoseTimeIsOver) {
  MemberQuarantine quarantine;
  EXPECT_EQ(quarantine.Release(kNow), std::nullopt);
  quarantine.Add(3, kNow + seconds(30), MakeError(StatusCode::kDataLoss, "wrong"));
  quarantine.Add(4, kNow + seconds(10), MakeError(StatusCode::kOutOfRange, "refused"));
  EXPECT_EQ(quarantine.Release(kNow), kNow + seconds(10));
  EXPECT_EQ(quarantine.Release(kNow + seconds(10)), kNow + seconds(30));
  EXPECT_FALSE(quarantine.Has(4));
  EXPECT_TRUE(quarantine.Has(3));
  EXPECT_EQ(quarantine.Release(kNow + seconds(31)), std::nullopt);
  EXPECT_FALSE(quarantine.Has(3));
}

}  // namespace
}  // namespace starling::layer
