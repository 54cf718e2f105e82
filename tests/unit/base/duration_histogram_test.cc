#include "base/duration_histogram.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace starling {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(DurationHistogramTest, EachDurationIsInTheFirstBucketThatHoldsIt) {
  struct Case {
    const char* name;
    nanoseconds taken;
    size_t bucket;
  };
  const Case cases[] = {
      {"nothing", nanoseconds(0), 0},
      {"a clock that went back", nanoseconds(-5), 0},
      {"a bound belongs to its bucket", microseconds(10), 0},
      {"just beyond it", microseconds(10) + nanoseconds(1), 1},
      {"a round trip", milliseconds(20), 7},
      {"the last bound", seconds(100), 14},
      {"beyond all bounds", seconds(101), 15},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    DurationHistogram histogram;
    histogram.Observe(c.taken);
    DurationHistogram::Snapshot want;
    want.counts[c.bucket] = 1;
    want.sum = std::max(c.taken, nanoseconds(0));
    EXPECT_EQ(histogram.snapshot(), want);
    EXPECT_EQ(histogram.snapshot().count(), 1U);
  }
}

TEST(DurationHistogramTest, NothingIsLostBetweenThreads) {
  DurationHistogram histogram;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&histogram] {
      for (int i = 0; i < 10'000; ++i) {
        histogram.Observe(milliseconds(2));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(histogram.snapshot().counts[5], 40'000U);
  EXPECT_EQ(histogram.snapshot().sum, seconds(80));
}

}  // namespace
}  // namespace starling
