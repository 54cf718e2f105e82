#include "layer/read_request.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

using oci::FetchClass;
using Wants = ReadRequest::Wants;

/// Of the chunks 2 and 3.
ReadRequest Request(Wants wants, FetchClass fetch_class = FetchClass::kDemand) {
  return {{.data_address = 8192, .size_bytes = 8192},
          {.first = 2, .last = 4},
          fetch_class,
          wants,
          [](const StatusOr<Bytes>&) {},
          {}};
}

SpilledChunk Spilled(uint32_t chunk) {
  return {.chunk = chunk, .bytes = std::make_shared<const Bytes>(4096)};
}

TEST(ReadRequest, WaitsForEachOfItsMembers) {
  ReadRequest request = Request(Wants::kBytes);
  EXPECT_TRUE(request.HasCome()) << "nothing to wait for";
  request.Await(2);
  EXPECT_FALSE(request.HasCome());
  EXPECT_FALSE(request.Settle({}));
  const ReadTimes::TimePoint now{std::chrono::hours(1)};
  EXPECT_TRUE(request.Settle({.moments = {.sent = now, .came = now, .stored = now}}));
  EXPECT_TRUE(request.HasCome());
  EXPECT_EQ(request.moments().came, now) << "of the last";
  EXPECT_TRUE(request.TakeResult().error.ok());
}

TEST(ReadRequest, TheFirstErrorOfWhatItNeedsCounts) {
  ReadRequest request = Request(Wants::kBytes);
  request.Await(3);
  const Status other = MakeError(StatusCode::kDataLoss, "of another chunk");
  const Status own = MakeError(StatusCode::kInternal, "of its chunk");
  EXPECT_FALSE(request.Settle({.failed_chunks = {{1, other}, {4, other}}}));
  EXPECT_FALSE(request.Settle({.failed_chunks = {{3, own}}}));
  EXPECT_TRUE(request.Settle({.error = MakeError(StatusCode::kUnavailable, "later")}));
  EXPECT_EQ(request.TakeResult().error.code(), StatusCode::kInternal);
}

TEST(ReadRequest, WhatTheDiskDidNotTakeIsEnoughForBytesAlone) {
  ReadRequest read = Request(Wants::kBytes);
  read.Take(Spilled(2));
  read.Await(1);
  EXPECT_TRUE(read.Settle({.spilled = {Spilled(1), Spilled(3)}}));
  const ReadRequest::Result result = read.TakeResult();
  EXPECT_TRUE(result.error.ok());
  ASSERT_EQ(result.spilled.size(), 2U) << "chunk 1 is another's";
  EXPECT_EQ(result.spilled[0].chunk, 2U);
  EXPECT_EQ(result.spilled[1].chunk, 3U);
  EXPECT_TRUE(read.TakeResult().spilled.empty()) << "handed over";

  ReadRequest presence = Request(Wants::kPresence);
  presence.Await(2);
  presence.Settle({.spilled = {Spilled(1)}});
  EXPECT_TRUE(presence.Settle({.spilled = {Spilled(2)}}));
  EXPECT_EQ(presence.TakeResult().error.code(), StatusCode::kResourceExhausted);
}

TEST(ReadRequest, KnowsReadersFromThoseWhoPrepare) {
  EXPECT_TRUE(Request(Wants::kBytes).is_read());
  EXPECT_FALSE(Request(Wants::kPresence).is_read());
  EXPECT_FALSE(Request(Wants::kBytes, FetchClass::kBackground).is_read());
}

}  // namespace
}  // namespace starling::layer
