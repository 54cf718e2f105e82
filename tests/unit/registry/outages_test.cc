#include "registry/outages.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/support/manual_clock.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = Outages::Verdict;

class OutagesTest : public testing::Test {
 protected:
  std::unique_ptr<Outages::Visit> Visit(const std::string& what = "/blob",
                                        const std::string& place = "https://a.example") {
    return std::make_unique<Outages::Visit>(outages_, place, what);
  }
  std::optional<milliseconds> Fail(Outages::Visit& visit) {
    return visit.Failed(MakeError(StatusCode::kUnavailable, "refused"), clock_.Now());
  }
  Verdict Ask(Outages::Visit& visit) { return visit.Ask(clock_.Now()).verdict; }
  bool IsAway() { return outages_->IsAway("https://a.example", clock_.Now()); }

  testing_support::ManualClock clock_;
  std::vector<OutageEvent> events_;
  const std::shared_ptr<Outages> outages_ =
      std::make_shared<Outages>([this](const OutageEvent& event) { events_.push_back(event); });
};

TEST_F(OutagesTest, APlaceIsSchemeHostAndPort) {
  for (const char* url : {"https://a.example/v2/x?y", "https://a.example", "https://a.example?x"}) {
    EXPECT_EQ(Outages::PlaceOf(url), "https://a.example");
  }
  EXPECT_EQ(Outages::PlaceOf("http://[::1]:5000/v2/"), "http://[::1]:5000");
}

TEST_F(OutagesTest, AFewFailuresInARowMakeAnOutage) {
  const auto visit = Visit();
  EXPECT_FALSE(Fail(*visit));
  EXPECT_FALSE(Fail(*visit));
  visit->Answered(clock_.Now());
  EXPECT_FALSE(Fail(*visit)) << "a good answer between them";
  EXPECT_FALSE(Fail(*visit));
  EXPECT_FALSE(IsAway());
  EXPECT_TRUE(Fail(*visit));
  EXPECT_TRUE(IsAway());
  EXPECT_EQ(Ask(*Visit("/", "https://b.example")), Verdict::kGo);
}

TEST_F(OutagesTest, WaitsGrowToTenSecondsAndAreTheSameForAll) {
  const auto first = Visit();
  const auto second = Visit("/other");
  Fail(*first);
  Fail(*first);
  milliseconds longest{0};
  for (int round = 0; round < 12; ++round) {
    const auto wait = Fail(*first);
    ASSERT_TRUE(wait);
    EXPECT_LE(*wait, milliseconds(10'500));
    const auto late = Fail(*second);
    ASSERT_TRUE(late) << "an answer to what was sent before";
    EXPECT_LE(*late, *wait + milliseconds(500));
    longest = std::max(longest, *wait);
    clock_.Advance(seconds(11));
    EXPECT_EQ(Ask(*first), Verdict::kProbe);
    EXPECT_EQ(Ask(*second), Verdict::kWait);
  }
  EXPECT_GE(longest, seconds(5));
}

TEST_F(OutagesTest, WhoFailedLastLetsTheOthersFindOut) {
  const auto broken = Visit("/broken");
  const auto whole = Visit("/whole");
  Fail(*whole);
  Fail(*whole);
  const auto wait = Fail(*broken);
  clock_.Advance(*wait);
  EXPECT_EQ(Ask(*broken), Verdict::kWait);
  EXPECT_EQ(Ask(*whole), Verdict::kProbe);
  whole->Ended();
  clock_.Advance(seconds(1));
  EXPECT_EQ(Ask(*broken), Verdict::kProbe) << "but not for ever";
}

TEST_F(OutagesTest, IsToldOnceWhenItLastsAndOnceWhenItIsOver) {
  const auto visit = Visit();
  for (int i = 0; i < 5; ++i) {
    Fail(*visit);
  }
  EXPECT_TRUE(events_.empty()) << "what is over in a moment is nobody's matter";
  clock_.Advance(seconds(3));
  for (int i = 0; i < 5; ++i) {
    Fail(*visit);
  }
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].kind, OutageEvent::Kind::kAway);
  EXPECT_EQ(events_[0].waiting, 1u);
  EXPECT_EQ(events_[0].lasted, seconds(3));
  EXPECT_EQ(events_[0].error, "refused");
  EXPECT_NE(Describe(visit->Reason(clock_.Now())).find("away for 3 s: refused"), std::string::npos);
  visit->Answered(clock_.Now());
  visit->Answered(clock_.Now());
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[1].kind, OutageEvent::Kind::kBack);
  EXPECT_TRUE(visit->Reason(clock_.Now()).ok());
}

TEST_F(OutagesTest, WhereNobodyAsksAnyMoreIsToldAndForgotten) {
  auto visit = Visit();
  Fail(*visit);
  clock_.Advance(seconds(3));
  Fail(*visit);
  Fail(*visit);
  ASSERT_EQ(events_.size(), 1u);
  const auto elsewhere = Visit("/", "https://b.example");
  clock_.Advance(Outages::kLeftAfter);
  elsewhere->Answered(clock_.Now());
  EXPECT_EQ(events_.size(), 1u) << "somebody waits";
  visit.reset();
  elsewhere->Answered(clock_.Now());
  elsewhere->Answered(clock_.Now());
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[1].kind, OutageEvent::Kind::kLeft);
  EXPECT_EQ(events_[1].place, "https://a.example");
  EXPECT_EQ(Ask(*Visit()), Verdict::kGo);
}

TEST_F(OutagesTest, AProbeThatGoesWithoutAnAnswerIsAnothersTurn) {
  auto first = Visit();
  const auto second = Visit("/other");
  for (int i = 0; i < 3; ++i) {
    Fail(*first);
  }
  clock_.Advance(seconds(1));
  EXPECT_EQ(Ask(*first), Verdict::kProbe);
  EXPECT_EQ(Ask(*second), Verdict::kWait);
  first.reset();
  EXPECT_EQ(Ask(*second), Verdict::kProbe);
}

TEST_F(OutagesTest, HoldsABoundedNumberOfPlaces) {
  std::vector<std::unique_ptr<Outages::Visit>> visits;
  for (int i = 0; i < 300; ++i) {
    visits.push_back(Visit("/", std::to_string(i)));
    for (int failure = 0; failure < 3; ++failure) {
      Fail(*visits.back());
    }
  }
  EXPECT_EQ(Ask(*visits[0]), Verdict::kWait);
  EXPECT_EQ(Ask(*visits[299]), Verdict::kGo) << "not known any more: each for itself";
  visits.clear();
  const auto later = Visit();
  for (int failure = 0; failure < 3; ++failure) {
    Fail(*later);
  }
  EXPECT_TRUE(IsAway());
}

}  // namespace
}  // namespace starling::registry
