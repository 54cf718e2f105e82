#include "base/io.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

TEST(ReadAll, StopsAtItsLimit) {
  const Bytes bytes(1000, std::byte{7});
  SpanSource enough(bytes);
  EXPECT_EQ(ReadAll(enough, 1000)->size(), 1000U);
  SpanSource too_much(bytes);
  EXPECT_EQ(ReadAll(too_much, 999).status().code(), StatusCode::kResourceExhausted);
}

TEST(ReadFully, ReportsAnEarlyEnd) {
  const Bytes bytes(10, std::byte{7});
  SpanSource source(bytes);
  Bytes out(16);
  EXPECT_EQ(*ReadFully(source, out), 10U);
}

TEST(CopyAll, MovesEverything) {
  const Bytes bytes(1 << 20, std::byte{3});
  SpanSource source(bytes);
  BytesSink sink;
  EXPECT_EQ(*CopyAll(source, sink), bytes.size());
  EXPECT_EQ(sink.bytes(), bytes);
}

}  // namespace
}  // namespace starling
