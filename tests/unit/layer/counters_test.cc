#include "layer/counters.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace starling::layer {
namespace {

TEST(FetchCountersTest, EveryPurposeHasANameAndNumbersOfItsOwn) {
  FetchCounters counters;
  std::set<std::string_view> names;
  uint64_t bytes = 1;
  for (const Purpose purpose : kPurposes) {
    EXPECT_TRUE(names.insert(NameOf(purpose)).second) << NameOf(purpose);
    counters.CountRequest(purpose);
    counters.CountFetches(purpose, 2, bytes *= 10);
  }
  EXPECT_EQ(counters.requests, 18U);
  EXPECT_EQ(counters.bytes, 1'111'110U);
  EXPECT_EQ(counters.Of(Purpose::kDemand).bytes, 10U);
  EXPECT_EQ(counters.Of(Purpose::kWhole).bytes, 1'000'000U);
  EXPECT_EQ(counters.Of(Purpose::kPrefetch).requests, 3U);
}

TEST(FetchCountersTest, ClassesAreThePurposesOfTheirNames) {
  EXPECT_EQ(NameOf(PurposeOf(oci::FetchClass::kDemand)), "demand");
  EXPECT_EQ(NameOf(PurposeOf(oci::FetchClass::kReadahead)), "readahead");
  EXPECT_EQ(NameOf(PurposeOf(oci::FetchClass::kPrefetch)), "prefetch");
  EXPECT_EQ(NameOf(PurposeOf(oci::FetchClass::kBackground)), "background");
}

}  // namespace
}  // namespace starling::layer
