#include "registry/host_health.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(HostHealth, AHostThatFailedIsUnwellForAMinute) {
  HostHealth health;
  const HostHealth::TimePoint start;
  EXPECT_TRUE(health.IsWell("a", start));
  health.OnFailed("a", start);
  EXPECT_FALSE(health.IsWell("a", start));
  EXPECT_FALSE(health.IsWell("a", start + HostHealth::kRest - std::chrono::milliseconds(1)));
  EXPECT_TRUE(health.IsWell("a", start + HostHealth::kRest));
  EXPECT_TRUE(health.IsWell("b", start)) << "another host";
}

}  // namespace
}  // namespace starling::registry
