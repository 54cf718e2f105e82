#include "base/pipe.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/io.h"

namespace starling {
namespace {

TEST(MakePipe, CarriesBytesAndEndsWithItsWriter) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe.ok()) << pipe.status();
  for (const UniqueFd* end : {&pipe->read_end, &pipe->write_end}) {
    EXPECT_NE(::fcntl(end->get(), F_GETFD) & FD_CLOEXEC, 0);
  }
  ASSERT_TRUE(FdSink(pipe->write_end.get()).Write(AsBytes("through")).ok());
  pipe->write_end.Reset();
  FdSource source(pipe->read_end.get());
  EXPECT_EQ(AsText(ReadAll(source, 100).value()), "through");
}

}  // namespace
}  // namespace starling
