#include "layer/miss_runs.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

constexpr uint64_t kUnit = 1000;

TEST(MissRuns, ARunThatGoesOnIsWorthTwiceAsMuchEachTime) {
  MissRuns misses;
  EXPECT_EQ(misses.Note(0, 100, kUnit), 1000u);
  EXPECT_EQ(misses.Note(1000, 1100, kUnit), 3000u) << "goes on where the first left off";
  EXPECT_EQ(misses.Note(3050, 3100, kUnit), 7050u);
  EXPECT_EQ(misses.Note(7000, 7100, kUnit), 15000u);
  EXPECT_EQ(misses.Note(15000, 15100, kUnit), 23000u) << "8 units at most";
  EXPECT_EQ(misses.Ends(), std::vector<uint64_t>{23000});
}

TEST(MissRuns, AMissElsewhereIsAnotherRun) {
  MissRuns misses;
  misses.Note(0, 100, kUnit);
  EXPECT_EQ(misses.Note(500'000, 500'100, kUnit), 501'000u);
  EXPECT_EQ(misses.Note(400, 500, kUnit), 1400u) << "before the end of a run is no going on";
  EXPECT_EQ(misses.Ends(), (std::vector<uint64_t>{1400, 501'000, 1000}));
}

TEST(MissRuns, ALargeMemberCountsWhole) {
  MissRuns misses;
  EXPECT_EQ(misses.Note(0, 40'000, kUnit), 40'000u);
  EXPECT_EQ(misses.Note(40'000, 80'000, kUnit), 80'000u);
}

TEST(MissRuns, ForgetsTheOldest) {
  MissRuns misses;
  for (uint64_t i = 0; i < 20; ++i) {
    misses.Note(i * 100'000, i * 100'000 + 10, kUnit);
  }
  EXPECT_EQ(misses.Ends().size(), 16u);
  EXPECT_EQ(misses.Ends().front(), 1'901'000u);
  EXPECT_EQ(misses.Ends().back(), 401'000u);
}

}  // namespace
}  // namespace starling::layer
