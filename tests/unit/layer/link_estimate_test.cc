#include "layer/link_estimate.h"

#include <gtest/gtest.h>

#include <vector>

namespace starling::layer {
namespace {

using std::chrono::milliseconds;

class LinkEstimateTest : public testing::Test {
 protected:
  /// A request whose first byte comes after `latency`, then `bytes` evenly over `duration`.
  void Answer(milliseconds latency, uint64_t bytes, milliseconds duration) {
    LinkEstimate::Flight flight = link_.Begin(now_);
    now_ += latency;
    link_.OnBytes(flight, 1, now_);
    constexpr int kParts = 10;
    for (int i = 0; i < kParts; ++i) {
      now_ += duration / kParts;
      link_.OnBytes(flight, bytes / kParts, now_);
    }
  }

  LinkEstimate link_;
  LinkEstimate::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(LinkEstimateTest, AssumesAnOrdinaryLinkAtFirst) {
  EXPECT_EQ(link_.round_trip(), milliseconds(20));
  EXPECT_EQ(link_.bytes_per_second(), 50'000'000u);
  EXPECT_EQ(link_.BytesIn(milliseconds(20)), 1'000'000u);
  EXPECT_FALSE(link_.measured());
}

TEST_F(LinkEstimateTest, TellsWhatWasMeasured) {
  LinkEstimate::Flight flight = link_.Begin(now_);
  link_.OnBytes(flight, 1, now_ + milliseconds(5));
  EXPECT_FALSE(link_.measured()) << "no rate yet";
  Answer(milliseconds(50), 1'000'000, milliseconds(100));
  const auto measured = link_.measured();
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->round_trip, milliseconds(5));
  EXPECT_EQ(measured->bytes_per_second, 10'000'000U);
  EXPECT_EQ(measured->round_trip_bytes(), 50'000U);
}

TEST_F(LinkEstimateTest, TakesTheShortestRoundTripAndTheHighestRate) {
  Answer(milliseconds(30), 1'000'000, milliseconds(100));
  Answer(milliseconds(10), 500'000, milliseconds(100));
  Answer(milliseconds(80), 2'000'000, milliseconds(100));
  EXPECT_EQ(link_.round_trip(), milliseconds(10));
  EXPECT_EQ(link_.bytes_per_second(), 20'000'000u);
}

TEST_F(LinkEstimateTest, LateIsWhatHardlyARequestIs) {
  const struct {
    const char* name;
    std::vector<int> latencies_ms;
    milliseconds least;
    milliseconds most;
  } cases[] = {
      {"nothing measured", {}, milliseconds(1000), milliseconds(1000)},
      {"a near host", std::vector<int>(50, 2), milliseconds(250), milliseconds(250)},
      {"a far host", std::vector<int>(50, 100), milliseconds(400), milliseconds(410)},
      {"a fickle host",
       {100, 500, 100, 500, 100, 500, 100, 500},
       milliseconds(800),
       milliseconds(1400)},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    link_ = {};
    for (const int latency : c.latencies_ms) {
      Answer(milliseconds(latency), 0, milliseconds(0));
    }
    EXPECT_GE(link_.late(), c.least);
    EXPECT_LE(link_.late(), c.most);
  }
}

TEST_F(LinkEstimateTest, CountsWhatOthersBroughtMeanwhile) {
  LinkEstimate::Flight first = link_.Begin(now_);
  LinkEstimate::Flight second = link_.Begin(now_);
  link_.OnBytes(first, 1, now_);
  link_.OnBytes(second, 1, now_);
  now_ += milliseconds(100);
  link_.OnBytes(first, 1'000'000, now_);
  link_.OnBytes(second, 1'000'000, now_);
  EXPECT_EQ(link_.bytes_per_second(), 20'000'000u + 0u);
}

TEST_F(LinkEstimateTest, IgnoresBursts) {
  LinkEstimate::Flight flight = link_.Begin(now_);
  link_.OnBytes(flight, 1, now_);
  now_ += milliseconds(1);
  link_.OnBytes(flight, 1'000'000, now_);
  EXPECT_EQ(link_.bytes_per_second(), 50'000'000u) << "1 GB/s for a millisecond is a buffer";
  link_.OnBytes(flight, 2'000'000, now_);
  EXPECT_EQ(link_.bytes_per_second(), 3'000'000'000u) << "over 2 MiB it is the link";
}

TEST_F(LinkEstimateTest, ForgetsWhatIsNoLongerTrue) {
  Answer(milliseconds(1), 10'000'000, milliseconds(100));
  ASSERT_EQ(link_.bytes_per_second(), 100'000'000u);
  for (int i = 0; i < 3; ++i) {
    now_ += std::chrono::seconds(11);
    Answer(milliseconds(50), 100'000, milliseconds(100));
  }
  EXPECT_EQ(link_.round_trip(), milliseconds(50));
  EXPECT_EQ(link_.bytes_per_second(), 1'000'000u);
}

}  // namespace
}  // namespace starling::layer
