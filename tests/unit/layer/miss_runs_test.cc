#include "layer/miss_runs.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

using oci::BlobRange;

constexpr uint64_t kUnit = 1000;

BlobRange FromTo(uint64_t begin, uint64_t end) {
  return {.blob_offset = begin, .size_bytes = end - begin};
}

TEST(MissRuns, ARunThatGoesOnIsWorthTwiceAsMuchEachTime) {
  MissRuns misses;
  EXPECT_EQ(misses.Note(FromTo(0, 100), kUnit), FromTo(0, 1000));
  EXPECT_EQ(misses.Note(FromTo(1000, 1100), kUnit), FromTo(1000, 3000)) << "where it left off";
  EXPECT_EQ(misses.Note(FromTo(3050, 3100), kUnit), FromTo(3050, 7050));
  EXPECT_EQ(misses.Note(FromTo(6950, 7000), kUnit), FromTo(6950, 14'950));
  EXPECT_EQ(misses.Note(FromTo(15'000, 15'100), kUnit), FromTo(15'000, 23'000)) << "not more";
  EXPECT_EQ(misses.Ends(), std::vector<uint64_t>{23'000});
}

TEST(MissRuns, AMissElsewhereIsWorthAUnitAroundIt) {
  MissRuns misses;
  EXPECT_EQ(misses.Note(FromTo(300, 400), kUnit), FromTo(0, 1300)) << "the blob begins there";
  EXPECT_EQ(misses.Note(FromTo(500'000, 500'100), kUnit), FromTo(499'000, 501'000));
  EXPECT_EQ(misses.Ends(), (std::vector<uint64_t>{501'000, 1300}));
}

TEST(MissRuns, AMissNearAnotherIsWorthFour) {
  MissRuns misses;
  misses.Note(FromTo(20'000, 20'100), kUnit);
  EXPECT_EQ(misses.Note(FromTo(28'000, 28'100), kUnit), FromTo(24'000, 32'000)) << "behind it";
  EXPECT_EQ(misses.Note(FromTo(12'000, 12'100), kUnit), FromTo(8000, 16'000)) << "before it";
  EXPECT_EQ(misses.Note(FromTo(36'001, 36'101), kUnit), FromTo(35'001, 37'001)) << "too far";
}

TEST(MissRuns, ALargeMemberCountsWhole) {
  MissRuns misses;
  EXPECT_EQ(misses.Note(FromTo(0, 40'000), kUnit), FromTo(0, 40'000));
  EXPECT_EQ(misses.Note(FromTo(40'000, 80'000), kUnit), FromTo(40'000, 80'000));
}

TEST(MissRuns, AReaderOfARunIsFollowed) {
  MissRuns misses;
  EXPECT_EQ(misses.AwaitedRead(), std::nullopt);
  misses.Note(FromTo(0, 100), kUnit);
  EXPECT_EQ(misses.AwaitedRead(), std::nullopt) << "a miss alone is no run";
  EXPECT_EQ(misses.NoteRead(FromTo(900, 1000), kUnit), std::nullopt);
  misses.Note(FromTo(1000, 1100), kUnit);
  EXPECT_EQ(misses.AwaitedRead(), FromTo(2000, 3000)) << "the second half";
  EXPECT_EQ(misses.NoteRead(FromTo(1900, 2000), kUnit), std::nullopt);
  EXPECT_EQ(misses.NoteRead(FromTo(1950, 2050), kUnit), FromTo(1950, 5950)) << "twice as far";
  EXPECT_EQ(misses.AwaitedRead(), FromTo(3950, 5950));
  EXPECT_EQ(misses.NoteRead(FromTo(5000, 5100), kUnit), FromTo(5000, 13'000));
  EXPECT_EQ(misses.NoteRead(FromTo(9000, 9100), kUnit), FromTo(9000, 17'000)) << "not farther";
  EXPECT_EQ(misses.NoteRead(FromTo(2000, 2100), kUnit), std::nullopt) << "long past";
  EXPECT_EQ(misses.Ends(), std::vector<uint64_t>{17'000});
}

TEST(MissRuns, ARunEndsWhereItsLastMemberDoes) {
  MissRuns misses;
  misses.Note(FromTo(0, 100), kUnit);
  misses.EndLatestAt(3000);
  EXPECT_EQ(misses.Note(FromTo(3000, 6000), kUnit), FromTo(3000, 6000)) << "goes on";
  misses.EndLatestAt(6000);
  EXPECT_EQ(misses.NoteRead(FromTo(3000, 6000), kUnit), FromTo(3000, 7000));
}

TEST(MissRuns, ForgetsTheOldest) {
  MissRuns misses;
  for (uint64_t i = 0; i < 40; ++i) {
    misses.Note(FromTo(i * 100'000, i * 100'000 + 10), kUnit);
  }
  EXPECT_EQ(misses.Ends().size(), 32U);
  EXPECT_EQ(misses.Ends().front(), 3'901'000U);
  EXPECT_EQ(misses.Ends().back(), 801'000U);
}

}  // namespace
}  // namespace starling::layer
