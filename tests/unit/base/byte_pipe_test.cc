#include "base/byte_pipe.h"

#include <gtest/gtest.h>

#include <thread>

namespace starling {
namespace {

TEST(BytePipe, MovesEverythingInOrderThroughLittleMemory) {
  Bytes sent(1'000'000);
  for (size_t i = 0; i < sent.size(); ++i) {
    sent[i] = static_cast<std::byte>(i * 31 >> 3);
  }
  BytePipe pipe(1000);
  std::thread writer([&] {
    for (size_t at = 0; at < sent.size(); at += 777) {
      EXPECT_TRUE(
          pipe.Write(ByteSpan(sent).subspan(at, std::min<size_t>(777, sent.size() - at))).ok());
    }
    pipe.Finish(OkStatus());
  });
  const auto received = ReadAll(pipe, sent.size());
  writer.join();
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(*received, sent);
}

TEST(BytePipe, ReaderSeesTheWritersErrorAfterItsBytes) {
  BytePipe pipe(1000);
  ASSERT_TRUE(pipe.Write(AsBytes("abc")).ok());
  pipe.Finish(MakeError(StatusCode::kDataLoss, "wrong digest"));
  Bytes out(10);
  EXPECT_EQ(*pipe.Read(out), 3U);
  EXPECT_EQ(pipe.Read(out).status().code(), StatusCode::kDataLoss);
}

TEST(BytePipe, WriterStopsWhenTheReaderGoes) {
  BytePipe pipe(10);
  Status last;
  std::thread writer([&] {
    const Bytes block(100);
    while (last.ok()) {
      last = pipe.Write(block);
    }
    pipe.Finish(last);
  });
  Bytes out(10);
  EXPECT_EQ(*pipe.Read(out), 10U);
  pipe.Abandon();
  writer.join();
  EXPECT_EQ(last.code(), StatusCode::kCancelled);
}

TEST(RunPiped, TellsWhatWentWrongFirst) {
  const Status broken = MakeError(StatusCode::kDataLoss, "wrong digest");
  const Status gave_up = MakeError(StatusCode::kResourceExhausted, "too large");
  const auto read_all = [](ByteSource& pipe) { return ReadAll(pipe, 1 << 20).status(); };
  const struct {
    std::string_view name;
    Status after_bytes;  // the writer's, when it could write all
    std::function<Status(ByteSource&)> read;
    StatusCode want;
  } cases[] = {
      {"all moved", OkStatus(), read_all, StatusCode::kOk},
      {"the writer failed", broken, read_all, StatusCode::kDataLoss},
      {"the reader gave up", OkStatus(), [&](ByteSource&) { return gave_up; },
       StatusCode::kResourceExhausted},
      {"the reader was content too early", OkStatus(), [](ByteSource&) { return OkStatus(); },
       StatusCode::kInternal},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto write = [&](ByteSink& pipe) -> Status {
      for (int i = 0; i < 100; ++i) {
        RETURN_IF_ERROR(pipe.Write(Bytes(1000)));
      }
      return c.after_bytes;
    };
    EXPECT_EQ(RunPiped("writer", 1000, write, c.read).code(), c.want);
  }
}

}  // namespace
}  // namespace starling
