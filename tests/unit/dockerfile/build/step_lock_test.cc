#include "dockerfile/build/step_lock.h"

#include <gtest/gtest.h>

#include <future>

#include "base/temp_dir.h"

namespace starling::dockerfile::build {
namespace {

const oci::Digest kKey = oci::Digest::Of(AsBytes("step"));

TEST(LockStep, LetsOneAtATimeDoAStep) {
  const TempDir directory = *TempDir::Make("/tmp", "step-lock-");
  auto held = LockStep(directory.path(), kKey, {});
  ASSERT_TRUE(held.ok()) << held.status();
  auto waiting =
      std::async(std::launch::async, [&] { return LockStep(directory.path(), kKey, {}).ok(); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  held->Reset();
  EXPECT_TRUE(waiting.get());
}

TEST(LockStep, IsOfOneStep) {
  const TempDir directory = *TempDir::Make("/tmp", "step-lock-");
  const auto held = LockStep(directory.path(), kKey, {});
  EXPECT_TRUE(LockStep(directory.path(), oci::Digest::Of(AsBytes("another")), {}).ok());
}

TEST(LockStep, GivesUpWhenItIsToStop) {
  const TempDir directory = *TempDir::Make("/tmp", "step-lock-");
  const auto held = LockStep(directory.path(), kKey, {});
  std::stop_source stop;
  auto waiting = std::async(std::launch::async, [&] {
    return LockStep(directory.path(), kKey, stop.get_token()).status().code();
  });
  stop.request_stop();
  EXPECT_EQ(waiting.get(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace starling::dockerfile::build
