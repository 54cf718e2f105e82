#include "registry/host_pauses.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = HostPauses::Verdict;

class HostPausesTest : public testing::Test {
 protected:
  Verdict Ask(const std::string& key = "a") { return pauses_.Ask(key, now_).verdict; }

  HostPauses pauses_;
  HostPauses::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(HostPausesTest, WhoIsLimitedTogether) {
  const struct {
    const char* url;
    const char* key;
  } cases[] = {
      {"https://a.example/v2/b/blobs/sha256:00", "https://a.example/blobs/"},
      {"https://a.example/v2/b/blobs/uploads/1?x=/manifests/", "https://a.example/blobs/"},
      {"https://a.example:444/v2/b/manifests/1", "https://a.example:444/manifests/"},
      {"https://a.example/v2/b/tags/list", "https://a.example"},
      {"https://storage.example/blobs/x?sig=1", "https://storage.example"},
      {"http://a.example", "http://a.example"},
      {"", ""},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(HostPauses::KeyOf(c.url), c.key) << c.url;
  }
}

TEST_F(HostPausesTest, OneFindsOutWhileTheOthersWait) {
  EXPECT_EQ(Ask(), Verdict::kGo);
  const milliseconds wait = pauses_.Pause("a", seconds(10), now_);
  EXPECT_GE(wait, seconds(10));
  EXPECT_LE(wait, milliseconds(10'500));
  EXPECT_EQ(Ask("b"), Verdict::kGo);
  EXPECT_EQ(Ask(), Verdict::kWait);
  EXPECT_TRUE(pauses_.IsPaused("a", now_));
  EXPECT_FALSE(pauses_.IsPaused("b", now_));
  now_ += seconds(10);
  EXPECT_FALSE(pauses_.IsPaused("a", now_)) << "somebody may find out";
  EXPECT_EQ(Ask(), Verdict::kProbe);
  EXPECT_EQ(Ask(), Verdict::kWait);
  EXPECT_TRUE(pauses_.IsPaused("a", now_));
  now_ += HostPauses::kProbeTime;
  EXPECT_EQ(Ask(), Verdict::kProbe) << "the first has had its time";
  pauses_.Resume("a");
  EXPECT_EQ(Ask(), Verdict::kGo);
}

TEST_F(HostPausesTest, EveryPauseIsWithinBounds) {
  const struct {
    const char* name;
    std::optional<milliseconds> asked;
    milliseconds least;
    milliseconds most;
  } cases[] = {
      {"as asked", seconds(3), seconds(3), milliseconds(3300)},
      {"too long", std::chrono::hours(24), seconds(60), milliseconds(60'500)},
      {"nothing", seconds(0), milliseconds(100), milliseconds(110)},
      {"not said", std::nullopt, milliseconds(100), milliseconds(110)},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const milliseconds wait = pauses_.Pause(c.name, c.asked, now_);
    EXPECT_GE(wait, c.least);
    EXPECT_LE(wait, c.most);
  }
}

TEST_F(HostPausesTest, WithoutATimePausesGrowWithEachProbe) {
  for (int i = 0; i < 20; ++i) {
    const milliseconds wait = pauses_.Pause("a", std::nullopt, now_);
    EXPECT_LE(wait, milliseconds(110)) << "answers to what was sent before do not count";
  }
  milliseconds wait{0};
  for (int i = 0; i < 20; ++i) {
    now_ += seconds(60);
    ASSERT_EQ(Ask(), Verdict::kProbe);
    wait = pauses_.Pause("a", std::nullopt, now_);
    EXPECT_LE(wait, milliseconds(10'500));
  }
  EXPECT_GE(wait, seconds(5));
}

TEST_F(HostPausesTest, HoldsABoundedNumberOfHosts) {
  for (int i = 0; i < 300; ++i) {
    EXPECT_GE(pauses_.Pause(std::to_string(i), seconds(10), now_), seconds(10));
  }
  EXPECT_EQ(Ask("0"), Verdict::kWait);
  EXPECT_EQ(Ask("299"), Verdict::kGo) << "waits for itself";
  now_ += seconds(10);
  pauses_.Pause("299", seconds(10), now_);
  EXPECT_EQ(Ask("299"), Verdict::kWait) << "those whose pause is over make room";
}

}  // namespace
}  // namespace starling::registry
