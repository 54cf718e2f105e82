#include "keeper/backoff.h"

#include <gtest/gtest.h>

#include <vector>

namespace starling::keeper {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, Doubles) {
  const struct {
    std::string_view name;
    bool has_served;
    std::vector<int> wanted_ms;
  } kCases[] = {
      {"servers that served", true, {0, 10, 20, 40, 80, 160, 250, 250}},
      {"servers that did not", false, {0, 10, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000}},
  };
  for (const auto& c : kCases) {
    Backoff backoff;
    for (size_t i = 0; i < c.wanted_ms.size(); ++i) {
      EXPECT_EQ(backoff.Next(milliseconds(50), c.has_served), milliseconds(c.wanted_ms[i]))
          << c.name << ", death " << i;
      EXPECT_EQ(backoff.deaths(), static_cast<int>(i) + 1);
    }
  }
}

TEST(Backoff, NeverOverflows) {
  Backoff backoff;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LE(backoff.Next(milliseconds(0), false), Backoff::kMostAfterFailing);
  }
}

TEST(Backoff, AHealthyLifeEndsTheRow) {
  Backoff backoff;
  backoff.Next(milliseconds(1), true);
  backoff.Next(milliseconds(1), true);
  EXPECT_EQ(backoff.Next(Backoff::kHealthyLife - milliseconds(1), true), milliseconds(20));
  EXPECT_EQ(backoff.Next(Backoff::kHealthyLife, true), milliseconds(0));
  EXPECT_EQ(backoff.Next(Backoff::kHealthyLife, false), milliseconds(10))
      << "long, but it never served";
  backoff.Reset();
  EXPECT_EQ(backoff.Next(milliseconds(1), false), milliseconds(0));
}

}  // namespace
}  // namespace starling::keeper
