#include "layer/range_stream.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "layer/lazy_layer.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/memory_blob.h"

namespace starling::layer {
namespace {

using testing_support::MemoryBlob;

constexpr RangeStream::Options kSmall{.range_bytes = 100, .ranges_in_flight = 3};

Bytes Sample(size_t size_bytes) {
  Bytes bytes(size_bytes);
  for (size_t i = 0; i < size_bytes; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  }
  return bytes;
}

class RangeStreamTest : public testing::Test {
 protected:
  std::unique_ptr<RangeStream> Open(uint64_t size_bytes, uint64_t tail_bytes) {
    bytes_ = Sample(size_bytes);
    blob_ = std::make_shared<MemoryBlob>(bytes_);
    return std::make_unique<RangeStream>(
        oci::OpenedBlob{.reader = blob_, .tail = blob_->Tail(tail_bytes)}, "host", nullptr,
        counters_, kSmall);
  }

  Bytes bytes_;
  std::shared_ptr<MemoryBlob> blob_;
  FetchCounters counters_;
};

TEST_F(RangeStreamTest, AsksForEveryByteOnce) {
  const struct {
    std::string_view name;
    uint64_t size_bytes;
    uint64_t tail_bytes;
    size_t requests;
  } cases[] = {
      {.name = "nothing", .size_bytes = 0, .tail_bytes = 0, .requests = 0},
      {.name = "all in the tail", .size_bytes = 80, .tail_bytes = 80, .requests = 0},
      {.name = "no tail", .size_bytes = 250, .tail_bytes = 0, .requests = 3},
      {.name = "whole ranges and a tail", .size_bytes = 450, .tail_bytes = 50, .requests = 4},
      {.name = "a part of a range", .size_bytes = 1234, .tail_bytes = 33, .requests = 13},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const uint64_t requests_before = counters_.requests;
    const uint64_t bytes_before = counters_.bytes;
    const auto stream = Open(c.size_bytes, c.tail_bytes);
    const auto read = ReadAll(*stream, 1 << 20);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, bytes_);
    EXPECT_EQ(stream->Finish(), oci::Digest::Of(bytes_));
    uint64_t next = 0;
    for (const oci::BlobRange& range : blob_->ranges()) {
      EXPECT_EQ(range.blob_offset, next);
      next = range.end();
    }
    EXPECT_EQ(next, c.size_bytes - c.tail_bytes);
    EXPECT_EQ(counters_.requests - requests_before, c.requests);
    EXPECT_EQ(counters_.bytes - bytes_before, c.size_bytes - c.tail_bytes);
  }
}

TEST_F(RangeStreamTest, KeepsAFewRangesOnTheirWay) {
  const auto stream = Open(1000, 0);
  blob_->Hold();
  Bytes out(1000);
  auto reading = std::async(std::launch::async, [&] { return stream->Read(out); });
  while (blob_->requests() < 3) {
    std::this_thread::yield();
  }
  EXPECT_EQ(blob_->requests(), 3U) << "no more before one was read";
  blob_->Release();
  const auto count = reading.get();
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(*count, 100U);
}

TEST_F(RangeStreamTest, HasAsManyRangesOnTheirWayAsTheLinkHolds) {
  const struct {
    std::string_view name;
    uint64_t bytes_in_a_round_trip;
    size_t want;
  } cases[] = {
      {.name = "a short link", .bytes_in_a_round_trip = 10, .want = 3},
      {.name = "a longer one", .bytes_in_a_round_trip = 230, .want = 5},
      {.name = "more than the memory allows", .bytes_in_a_round_trip = 100'000, .want = 7},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    testing_support::ManualClock clock;
    testing_support::ManualExecutor executor;
    testing_support::ManualTimer timer(clock);
    const auto scheduler =
        FetchScheduler::Make({}, {.clock = clock, .executor = executor, .timer = timer});
    {
      const auto flight = scheduler->Begin("host", oci::FetchClass::kDemand, 1);
      clock.Advance(std::chrono::milliseconds(100));
      flight->OnBytes(1);
      clock.Advance(std::chrono::milliseconds(100));
      flight->OnBytes(c.bytes_in_a_round_trip);
    }
    const auto blob = std::make_shared<MemoryBlob>(Sample(2000));
    RangeStream stream({.reader = blob, .tail = {}}, "host", scheduler, counters_,
                       {.range_bytes = 100, .ranges_in_flight = 3, .max_ranges_in_flight = 7});
    blob->HoldStreamsAfter(1);
    Bytes out(10);
    ASSERT_TRUE(stream.Read(out).ok());
    EXPECT_EQ(blob->requests(), c.want);
    blob->Release();
    scheduler->Close();
  }
}

TEST_F(RangeStreamTest, HandsOnWhatCameOfARange) {
  const auto stream = Open(100, 0);
  blob_->HoldStreamsAfter(30);
  Bytes out(1000);
  EXPECT_EQ(*stream->Read(out), 30U);
  blob_->Release();
  EXPECT_EQ(*stream->Read(out), 70U);
  EXPECT_EQ(*stream->Read(out), 0U);
}

TEST_F(RangeStreamTest, FailsWithItsRange) {
  const auto stream = Open(1000, 0);
  blob_->FailNext(OkStatus());
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "the registry is away"));
  Bytes out(1000);
  EXPECT_EQ(*stream->Read(out), 100U) << "what came before is good";
  EXPECT_EQ(stream->Read(out).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(stream->Read(out).status().code(), StatusCode::kUnavailable);
}

TEST_F(RangeStreamTest, CancelEndsAReadThatWaits) {
  const auto stream = Open(1000, 0);
  blob_->Hold();
  Bytes out(10);
  auto reading = std::async(std::launch::async, [&] { return stream->Read(out); });
  while (blob_->requests() < 3) {
    std::this_thread::yield();
  }
  stream->Cancel();
  EXPECT_EQ(reading.get().status().code(), StatusCode::kCancelled);
  blob_->Release();
  EXPECT_EQ(stream->Read(out).status().code(), StatusCode::kCancelled);
}

TEST_F(RangeStreamTest, BytesMayComeAfterItsEnd) {
  auto stream = Open(1000, 0);
  blob_->HoldStreamsAfter(10);
  Bytes out(10);
  EXPECT_EQ(*stream->Read(out), 10U);
  stream.reset();
  const uint64_t counted = counters_.bytes;
  blob_->Release();
  EXPECT_EQ(counters_.bytes, counted) << "the counters are not its any more";
}

}  // namespace
}  // namespace starling::layer
