#include "base/copy_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace starling {
namespace {

TEST(CopyFd, SharesTheOpenFileAndIsNotInherited) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  auto copy = CopyFd(writer.get());
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_NE(copy->get(), writer.get());
  EXPECT_EQ(::fcntl(copy->get(), F_GETFD), FD_CLOEXEC);
  writer.Reset();
  EXPECT_EQ(::write(copy->get(), "x", 1), 1) << "the pipe is open as long as the copy is";
}

TEST(CopyFd, RefusesWhatIsNotOpen) { EXPECT_FALSE(CopyFd(-1).ok()); }

}  // namespace
}  // namespace starling
