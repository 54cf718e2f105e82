#include "mount/container_starts.h"

#include <gtest/gtest.h>

#include <vector>

namespace starling::mount {
namespace {

using std::chrono::milliseconds;

ContainerStarts::TimePoint At(int milliseconds_since) {
  return ContainerStarts::TimePoint(milliseconds(milliseconds_since));
}

TEST(ContainerStarts, TellsWhetherAContainerWasStartedBefore) {
  const struct {
    const char* name;
    std::vector<int> earlier;
    int now;
    bool is_again;
  } cases[] = {
      {"the first", {}, 5000, false},
      {"asked twice for one", {5000}, 5400, false},
      {"the next", {5000}, 6001, true},
      {"steps of a build that follow each other quickly", {5000, 5400, 5800, 6200}, 6300, true},
  };
  for (const auto& [name, earlier, now, is_again] : cases) {
    ContainerStarts starts;
    for (const int at : earlier) {
      starts.Note(1, At(at));
    }
    EXPECT_EQ(starts.Note(1, At(now)), is_again) << name;
    EXPECT_EQ(starts.Latest(1), At(now)) << name;
  }
}

TEST(ContainerStarts, OtherLayersAreNoneOfIt) {
  ContainerStarts starts;
  starts.Note(1, At(0));
  EXPECT_FALSE(starts.Note(2, At(9000)));
  EXPECT_EQ(starts.Latest(3), std::nullopt);
  starts.Forget(1);
  EXPECT_EQ(starts.Latest(1), std::nullopt);
  EXPECT_FALSE(starts.Note(1, At(9000)));
}

}  // namespace
}  // namespace starling::mount
