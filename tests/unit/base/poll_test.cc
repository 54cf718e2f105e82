#include "base/poll.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vector>

#include "base/pipe.h"

namespace starling {
namespace {

using std::chrono::steady_clock;

class PollUntilTest : public testing::Test {
 protected:
  StatusOr<bool> Poll(std::optional<steady_clock::time_point> deadline) {
    pollfd entry{.fd = pipe_.read_end.get(), .events = POLLIN, .revents = 0};
    return PollUntil(std::span(&entry, 1), deadline);
  }

  Pipe pipe_ = *MakePipe();
};

TEST_F(PollUntilTest, TellsWhatIsReadyFromWhatIsLate) {
  EXPECT_FALSE(Poll(steady_clock::now()).value());
  EXPECT_FALSE(Poll(steady_clock::now() - std::chrono::hours(1)).value());
  ASSERT_EQ(::write(pipe_.write_end.get(), "x", 1), 1);
  EXPECT_TRUE(Poll(steady_clock::now()).value());
  EXPECT_TRUE(Poll(steady_clock::time_point::max()).value());
  EXPECT_TRUE(Poll(std::nullopt).value());
}

TEST_F(PollUntilTest, TellsErrors) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 64, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<pollfd> many(65, {.fd = -1, .events = 0, .revents = 0});
  EXPECT_FALSE(PollUntil(many, steady_clock::now()).ok());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace starling
