#include "fuse/request_pace.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/manual_clock.h"

namespace starling::fuse {
namespace {

using std::chrono::microseconds;

class RequestPaceTest : public testing::Test {
 protected:
  /// A request that comes so long after the answer to the one before, and is answered at once.
  void Request(microseconds after) {
    clock_.Advance(after);
    pace_.OnRequest(clock_.Now());
    pace_.OnAnswered(clock_.Now());
  }
  bool IsWatched() {
    const bool begins = pace_.BeginWatch();
    if (begins) {
      pace_.EndWatch();
    }
    return begins;
  }

  testing_support::ManualClock clock_;
  RequestPace pace_;
};

TEST_F(RequestPaceTest, OneStaysAwakeWhileRequestsFollowQuickly) {
  const microseconds quick = RequestPace::kSoon - microseconds(1);
  const microseconds slow(10'000);
  const struct {
    const char* name;
    std::vector<microseconds> gaps;
    bool is_watched;
  } cases[] = {
      {"one at once", {quick}, true},
      {"one later", {RequestPace::kSoon}, false},
      {"a wait in vain", {quick, quick, slow}, true},
      {"many in vain", {quick, quick, slow, slow, slow, slow}, false},
      {"quick again", {quick, quick, slow, slow, slow, slow, quick}, true},
      {"quick in between", {quick, quick, slow, slow, slow, quick, slow, slow}, true},
  };
  for (const auto& [name, gaps, is_watched] : cases) {
    for (int i = 0; i < RequestPace::kPatience; ++i) {
      Request(slow);
    }
    EXPECT_FALSE(IsWatched()) << name << ": nothing is quick";
    for (const microseconds gap : gaps) {
      Request(gap);
    }
    EXPECT_EQ(IsWatched(), is_watched) << name;
  }
}

TEST_F(RequestPaceTest, TheTimeThatAnAnswerTakesDoesNotCount) {
  Request(std::chrono::hours(1));
  clock_.Advance(microseconds(10));
  pace_.OnRequest(clock_.Now());
  clock_.Advance(std::chrono::seconds(1));
  pace_.OnAnswered(clock_.Now());
  EXPECT_TRUE(IsWatched());
  Request(microseconds(10));
  EXPECT_TRUE(IsWatched());
}

TEST_F(RequestPaceTest, NoMoreThanOneStaysAwake) {
  Request(std::chrono::hours(1));
  Request(microseconds(10));
  EXPECT_TRUE(pace_.BeginWatch());
  EXPECT_FALSE(pace_.BeginWatch());
  pace_.EndWatch();
  EXPECT_TRUE(pace_.BeginWatch());
}

TEST_F(RequestPaceTest, OneServesAloneWhileNobodyHasToWaitForIt) {
  const auto serves_alone = [&] { return pace_.IsServedAlone(clock_.Now()); };
  const auto calm = [&](int times) {
    for (int i = 0; i < times; ++i) {
      EXPECT_FALSE(serves_alone()) << i;
      pace_.OnCalm(clock_.Now());
    }
  };
  Request(std::chrono::hours(1));
  Request(microseconds(10));
  ASSERT_TRUE(pace_.BeginWatch());
  calm(RequestPace::kCalm);
  EXPECT_TRUE(serves_alone());
  clock_.Advance(RequestPace::kStall - microseconds(1));
  EXPECT_TRUE(serves_alone());
  clock_.Advance(microseconds(1));
  EXPECT_FALSE(serves_alone()) << "it is held up";

  pace_.OnCalm(clock_.Now());
  EXPECT_TRUE(serves_alone());
  pace_.EndWatch();
  EXPECT_FALSE(serves_alone()) << "it sleeps, as the others do";

  ASSERT_TRUE(pace_.BeginWatch());
  pace_.OnCalm(clock_.Now());
  EXPECT_TRUE(serves_alone()) << "requests are as calm as before";
  pace_.OnBacklog();
  pace_.EndWatch();
  ASSERT_TRUE(pace_.BeginWatch());
  calm(RequestPace::kCalm);
  EXPECT_TRUE(serves_alone());
}

}  // namespace
}  // namespace starling::fuse
