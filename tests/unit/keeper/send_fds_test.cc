#include "keeper/send_fds.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "keeper/descriptors.h"

namespace starling::keeper {
namespace {

TEST(SendWithFds, RefusesMoreThanAMessageCanHave) {
  auto ends = Channel::MakePair();
  ASSERT_TRUE(ends.ok()) << ends.status();
  std::array<int, kMaxFds + 1> fds{};
  const ByteSpan text = AsBytes("x");
  EXPECT_TRUE(SendWithFds(ends->first.fd(), text, std::span(fds).first(kMaxFds)).ok());
  EXPECT_EQ(SendWithFds(ends->first.fd(), text, fds).code(), StatusCode::kInvalidArgument);
}

TEST(SendWithFds, SaysWhatIsWrong) {
  auto ends = Channel::MakePair();
  ASSERT_TRUE(ends.ok()) << ends.status();
  const std::array<int, 1> closed = {-1};
  EXPECT_FALSE(SendWithFds(ends->first.fd(), AsBytes("x"), closed).ok());
  ends->second = Channel(UniqueFd());
  EXPECT_FALSE(SendWithFds(ends->first.fd(), AsBytes("x"), {}).ok()) << "and no signal comes";
}

}  // namespace
}  // namespace starling::keeper
