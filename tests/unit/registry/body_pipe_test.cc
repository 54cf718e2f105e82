#include "registry/body_pipe.h"

#include <gtest/gtest.h>

#include <thread>

namespace starling::registry {
namespace {

using Attempt = BodyPipe::Attempt;

TEST(BodyPipe, HoldsBackAWriterUntilThereIsRoom) {
  BodyPipe pipe(4);
  int woken = 0;
  pipe.SetWaker([&] { ++woken; });
  EXPECT_EQ(pipe.TryWrite(AsBytes("123456")), Attempt::kDone) << "an empty pipe takes any amount";
  EXPECT_EQ(pipe.TryWrite(AsBytes("7")), Attempt::kWait);
  Bytes out(3);
  EXPECT_EQ(*pipe.Read(out), 3u);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(pipe.TryWrite(AsBytes("7")), Attempt::kDone);
  EXPECT_EQ(*pipe.Read(out), 3u);
  EXPECT_EQ(AsText(out), "456");
  EXPECT_EQ(woken, 1) << "only who waits is woken";
  pipe.CloseWrite();
  EXPECT_EQ(*pipe.Read(out), 1u);
  EXPECT_EQ(*pipe.Read(out), 0u);
}

TEST(BodyPipe, HoldsBackAReaderUntilThereAreBytes) {
  BodyPipe pipe;
  int woken = 0;
  pipe.SetWaker([&] { ++woken; });
  Bytes out(10);
  size_t read_bytes = 9;
  EXPECT_EQ(pipe.TryRead(out, read_bytes), Attempt::kWait);
  EXPECT_EQ(read_bytes, 0u);
  ASSERT_TRUE(pipe.Write(AsBytes("abc")).ok());
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(pipe.TryRead(out, read_bytes), Attempt::kDone);
  EXPECT_EQ(read_bytes, 3u);
  EXPECT_EQ(pipe.TryRead(out, read_bytes), Attempt::kWait);
  pipe.CloseWrite();
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(pipe.TryRead(out, read_bytes), Attempt::kDone);
  EXPECT_EQ(read_bytes, 0u) << "the end";
}

TEST(BodyPipe, PassesErrorsToTheOtherSide) {
  const Status lost = MakeError(StatusCode::kDataLoss, "lost");
  Bytes out(4);
  size_t read_bytes = 0;
  BodyPipe failed;
  ASSERT_TRUE(failed.Write(AsBytes("abcd")).ok());
  failed.CloseWrite(lost);
  EXPECT_EQ(*failed.Read(out), 4u) << "what came before counts";
  EXPECT_EQ(failed.Read(out).status(), lost);
  EXPECT_EQ(failed.TryRead(out, read_bytes), Attempt::kClosed);
  EXPECT_EQ(failed.WriteStatus(), lost);
  BodyPipe unread;
  unread.CloseRead(lost);
  EXPECT_EQ(unread.Write(AsBytes("x")), lost);
  EXPECT_EQ(unread.TryWrite(AsBytes("x")), Attempt::kClosed);
}

TEST(BodyPipe, MovesEverythingBetweenThreads) {
  BodyPipe pipe(1000);
  std::thread writer([&] {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(pipe.Write(Bytes(77, std::byte(i))).ok());
    }
    pipe.CloseWrite();
  });
  const auto all = ReadAll(pipe, 1 << 20);
  writer.join();
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 77000u);
  for (size_t i = 0; i < all->size(); ++i) {
    ASSERT_EQ((*all)[i], std::byte(i / 77));
  }
}

}  // namespace
}  // namespace starling::registry
