#include "fuse/killed_thread.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace starling::fuse {
namespace {

TEST(KilledThread, ReadsWhatTheKernelSays) {
  const struct {
    const char* status;
    bool want;
  } cases[] = {
      {"Name:\tcat\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n", true},
      {"Name:\tcat\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n", true},
      {"Name:\tcat\nSigPnd:\t0000000000000300\nShdPnd:\t0000000000000000\n", true},
      {"Name:\tcat\nSigPnd:\t0000000000000200\nShdPnd:\t0000000000004002\n", false},
      {"Name:\tcat\nSigBlk:\t0000000000000100\n", false},
      {"Name:\tcat\nSigPnd:\t", false},
      {"", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(HasPendingKill(c.status), c.want) << c.status;
  }
}

TEST(KilledThread, WhoLivesIsNot) {
  EXPECT_FALSE(IsBeingKilled(::getpid()));
  EXPECT_FALSE(IsBeingKilled(0));
}

}  // namespace
}  // namespace starling::fuse
