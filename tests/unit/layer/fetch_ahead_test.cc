#include "layer/fetch_ahead.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace starling::layer {
namespace {

using oci::BlobRange;
using oci::FetchClass;

constexpr uint64_t kMember = 100;
constexpr uint64_t kMembers = 40;

std::vector<MemberRecord> Members() {
  std::vector<MemberRecord> members;
  for (uint64_t i = 0; i < kMembers; ++i) {
    members.push_back({.blob_offset = i * kMember, .blob_size = kMember});
  }
  return members;
}

/// A blob of 40 members of 100 bytes, one after the other.
class FetchAheadTest : public testing::Test {
 protected:
  /// Takes the next request and marks its members as on their way; the range of none is empty.
  BlobRange Next(FetchClass fetch_class, uint64_t size_bytes) {
    const auto next = ahead_.Next(fetch_class, size_bytes, [this](uint32_t member) {
      return taken_.contains(member)      ? Worth::kNothing
             : unlikely_.contains(member) ? Worth::kLittle
                                          : Worth::kMuch;
    });
    if (!next) {
      return {};
    }
    for (uint32_t member = next->first_member; member < next->last_member; ++member) {
      EXPECT_TRUE(taken_.insert(member).second) << "member " << member << " twice";
    }
    return next->range;
  }
  void Take(uint32_t first, uint32_t last) {
    for (uint32_t member = first; member < last; ++member) {
      taken_.insert(member);
    }
  }

  const std::vector<MemberRecord> members_ = Members();
  FetchAhead ahead_{members_, kMembers* kMember};
  std::set<uint32_t> taken_;
  std::set<uint32_t> unlikely_;
};

constexpr BlobRange kNothing{};

TEST_F(FetchAheadTest, KnowsNothingAtFirst) {
  for (const FetchClass fetch_class : {FetchClass::kDemand, FetchClass::kReadahead,
                                       FetchClass::kPrefetch, FetchClass::kBackground}) {
    EXPECT_EQ(Next(fetch_class, 200), kNothing) << static_cast<int>(fetch_class);
  }
  EXPECT_FALSE(ahead_.has_readahead());
  EXPECT_FALSE(ahead_.fetches_all());
}

TEST_F(FetchAheadTest, ReadsAheadOfMissesThatGoOn) {
  Take(0, 2);
  ahead_.NoteMiss({0, 200}, Worth::kMuch, 200);
  EXPECT_FALSE(ahead_.has_readahead()) << "the first brought its unit itself";
  Take(2, 4);
  ahead_.NoteMiss({200, 200}, Worth::kMuch, 200);
  EXPECT_TRUE(ahead_.has_readahead());
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{400, 200})) << "two units in all";
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), kNothing);
  EXPECT_FALSE(ahead_.has_readahead());
}

TEST_F(FetchAheadTest, FollowsAReaderWhoGoesOn) {
  ahead_.NoteMiss({0, 200}, Worth::kMuch, 200);
  EXPECT_EQ(ahead_.AwaitedRead(), std::nullopt);
  ahead_.NoteMiss({200, 200}, Worth::kMuch, 200);
  Take(0, 6);
  EXPECT_EQ(ahead_.AwaitedRead(), (BlobRange{400, 200}));
  ahead_.NoteRead({300, 100}, Worth::kMuch, 200);
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), kNothing) << "not there yet";
  ahead_.NoteRead({400, 100}, Worth::kMuch, 200);
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{600, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{800, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{1000, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), kNothing);
}

TEST_F(FetchAheadTest, HeldReadaheadBeginsWhenMuchWasMissed) {
  constexpr uint64_t kLarge = 4'000'000;
  std::vector<MemberRecord> members;
  for (uint64_t i = 0; i < 8; ++i) {
    members.push_back({.blob_offset = i * kLarge, .blob_size = kLarge});
  }
  FetchAhead ahead(members, members.size() * kLarge);
  ahead.HoldReadahead(true);
  const WorthOf worth_of = [](uint32_t member) {
    return member < 2 ? Worth::kNothing : Worth::kMuch;
  };
  ahead.NoteMiss({.blob_offset = 0, .size_bytes = kLarge}, Worth::kMuch, 2 * kLarge);
  EXPECT_FALSE(ahead.has_readahead());
  EXPECT_EQ(ahead.Next(FetchClass::kReadahead, kLarge, worth_of), std::nullopt);
  ahead.FetchAll();
  EXPECT_TRUE(ahead.Next(FetchClass::kBackground, kLarge, worth_of).has_value()) << "is not held";
  ahead.NoteMiss({.blob_offset = kLarge, .size_bytes = kLarge}, Worth::kMuch, 2 * kLarge);
  EXPECT_TRUE(ahead.has_readahead());
  EXPECT_TRUE(ahead.Next(FetchClass::kReadahead, kLarge, worth_of).has_value());
}

TEST_F(FetchAheadTest, ARunGoesOnWhereALargeMemberEnds) {
  // Its read-ahead ends within a member, which is fetched whole.
  ahead_.NoteMiss({0, 100}, Worth::kMuch, 150);
  Take(0, 2);
  ahead_.NoteMiss({200, 100}, Worth::kMuch, 150);
  EXPECT_EQ(ahead_.AwaitedRead(), (BlobRange{350, 150})) << "two units that end with a member";
}

TEST_F(FetchAheadTest, ReadsAroundAMissTheNearestFirst) {
  Take(20, 21);
  ahead_.NoteMiss({2000, 100}, Worth::kMuch, 400);
  EXPECT_EQ(Next(FetchClass::kReadahead, 400), (BlobRange{2100, 300})) << "a unit onwards";
  EXPECT_EQ(Next(FetchClass::kReadahead, 400), (BlobRange{1600, 400})) << "and one before";
  EXPECT_EQ(Next(FetchClass::kReadahead, 400), kNothing);
  Take(30, 31);
  ahead_.NoteMiss({3000, 100}, Worth::kMuch, 200);
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{3100, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{2800, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{3300, 200})) << "farther, near one";
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{2600, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{3500, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{2400, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{3700, 100}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), kNothing) << "the rest is there";
}

TEST_F(FetchAheadTest, ReadsAroundTheLatestMissFirst) {
  ahead_.NoteMiss({0, 100}, Worth::kMuch, 300);
  ahead_.NoteMiss({3000, 100}, Worth::kMuch, 300);
  Take(0, 1);
  Take(30, 31);
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{3100, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{2700, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{2900, 100}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), (BlobRange{100, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 200), kNothing);
}

TEST_F(FetchAheadTest, ReadAheadEndsWithTheBlob) {
  Take(39, 40);
  ahead_.NoteMiss({3900, 100}, Worth::kMuch, 1000);
  EXPECT_EQ(Next(FetchClass::kReadahead, 1000), (BlobRange{2900, 1000}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 1000), kNothing);
}

TEST_F(FetchAheadTest, PrefetchIsWhatBeginsBeforeItsEnd) {
  ahead_.Prefetch(401);
  EXPECT_EQ(Next(FetchClass::kPrefetch, 300), (BlobRange{0, 300}));
  EXPECT_EQ(Next(FetchClass::kPrefetch, 300), (BlobRange{300, 200})) << "the fifth begins there";
  EXPECT_EQ(Next(FetchClass::kPrefetch, 300), kNothing);
}

TEST_F(FetchAheadTest, LeavesOutWhatIsHeldOrOnItsWay) {
  Take(1, 3);
  Take(4, 40);
  ahead_.FetchAll();
  EXPECT_EQ(Next(FetchClass::kBackground, 1000), (BlobRange{0, 100}));
  EXPECT_EQ(Next(FetchClass::kBackground, 1000), (BlobRange{300, 100}));
  EXPECT_EQ(Next(FetchClass::kBackground, 1000), kNothing);
}

TEST_F(FetchAheadTest, BackgroundBeginsBehindTheLatestMisses) {
  Take(30, 31);
  ahead_.NoteMiss({3000, 100}, Worth::kMuch, 100);
  ahead_.FetchAll();
  EXPECT_EQ(Next(FetchClass::kBackground, 100), (BlobRange{3100, 100}));
  for (int i = 1; i < 8; ++i) {
    EXPECT_EQ(Next(FetchClass::kBackground, 100).blob_offset, 3100U + i * kMember);
  }
  EXPECT_EQ(Next(FetchClass::kBackground, 100), (BlobRange{0, 100})) << "8 requests behind it";
  while (Next(FetchClass::kBackground, 500) != kNothing) {
  }
  EXPECT_EQ(taken_.size(), kMembers);
  EXPECT_TRUE(ahead_.fetches_all()) << "what fails will be asked for again";
}

TEST_F(FetchAheadTest, PausedBackgroundWorkIsNoneUntilAllIsAskedForAgain) {
  ahead_.FetchAll();
  EXPECT_EQ(Next(FetchClass::kBackground, 100), (BlobRange{0, 100}));
  ahead_.PauseBackground();
  EXPECT_EQ(Next(FetchClass::kBackground, 100), kNothing);
  EXPECT_EQ(Next(FetchClass::kRest, 100), kNothing);
  EXPECT_TRUE(ahead_.fetches_all());
  ahead_.FetchAll();
  EXPECT_EQ(Next(FetchClass::kBackground, 100), (BlobRange{100, 100}));
}

TEST_F(FetchAheadTest, WhatIsUnlikelyIsTheRestOfBackgroundWork) {
  Take(0, 1);
  unlikely_ = {2, 3, 4, 5, 8};
  ahead_.NoteMiss({0, 100}, Worth::kMuch, 800);
  EXPECT_EQ(Next(FetchClass::kReadahead, 800), (BlobRange{100, 100}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 800), (BlobRange{600, 200}));
  EXPECT_EQ(Next(FetchClass::kReadahead, 800), kNothing);
  Take(9, 38);
  ahead_.FetchAll();
  EXPECT_EQ(Next(FetchClass::kBackground, 1000), (BlobRange{3800, 200}));
  EXPECT_EQ(Next(FetchClass::kBackground, 1000), kNothing);
  EXPECT_EQ(Next(FetchClass::kRest, 1000), (BlobRange{200, 400}));
  EXPECT_EQ(Next(FetchClass::kRest, 1000), (BlobRange{800, 100}));
  EXPECT_EQ(Next(FetchClass::kRest, 1000), kNothing);
}

TEST_F(FetchAheadTest, AnUnlikelyMissBringsWhatIsUnlikelyAroundIt) {
  Take(0, 1);
  unlikely_ = {0, 1, 2, 4, 5, 6};
  ahead_.NoteMiss({0, 100}, Worth::kLittle, 800);
  EXPECT_EQ(Next(FetchClass::kReadahead, 800), (BlobRange{100, 700}));
}

TEST_F(FetchAheadTest, PrefetchTakesWhatIsUnlikely) {
  unlikely_ = {0, 1, 2};
  ahead_.Prefetch(500);
  EXPECT_EQ(Next(FetchClass::kPrefetch, 1000), (BlobRange{0, 500}));
}

TEST_F(FetchAheadTest, PrefetchOfAllLeavesLargeUnlikelyPartsToTheBackground) {
  unlikely_ = {1, 2, 5, 6, 7};
  for (uint32_t member = 9; member < kMembers; ++member) {
    unlikely_.insert(member);
  }
  ahead_.PrefetchAll();
  ahead_.FetchAll();
  EXPECT_EQ(Next(FetchClass::kPrefetch, 800), (BlobRange{0, 500})) << "a gap of 200 comes along";
  EXPECT_EQ(Next(FetchClass::kPrefetch, 800), (BlobRange{800, 100}));
  EXPECT_EQ(Next(FetchClass::kPrefetch, 800), kNothing);
  EXPECT_EQ(Next(FetchClass::kBackground, 800), kNothing);
  EXPECT_EQ(Next(FetchClass::kRest, 800), (BlobRange{500, 300}));
}

TEST_F(FetchAheadTest, ClearLeavesNothing) {
  ahead_.NoteMiss({0, 100}, Worth::kMuch, 1000);
  ahead_.Prefetch(1000);
  ahead_.FetchAll();
  ahead_.Clear();
  EXPECT_FALSE(ahead_.has_readahead());
  EXPECT_FALSE(ahead_.fetches_all());
  for (const FetchClass fetch_class :
       {FetchClass::kReadahead, FetchClass::kPrefetch, FetchClass::kBackground}) {
    EXPECT_EQ(Next(fetch_class, 200), kNothing) << static_cast<int>(fetch_class);
  }
}

}  // namespace
}  // namespace starling::layer
