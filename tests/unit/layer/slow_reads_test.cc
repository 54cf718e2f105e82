#include "layer/slow_reads.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using TimePoint = ReadTimes::TimePoint;

TimePoint At(int time) { return TimePoint() + std::chrono::hours(1) + milliseconds(time); }

TEST(ReadTimesTest, EveryMomentEndsAPart) {
  struct Case {
    const char* name;
    ReadTimes::Moments moments;
    ReadTimes want;
    ReadCause cause;
  };
  // From 100 to 200.
  const Case cases[] = {
      {"a fetch of its own",
       {.sent = At(101), .came = At(161), .stored = At(190)},
       {.queue = milliseconds(1),
        .network = milliseconds(60),
        .decode = milliseconds(29),
        .disk = milliseconds(10)},
       ReadCause::kNetwork},
      {"one that was on its way already",
       {.sent = At(20), .came = At(130), .stored = At(200)},
       {.queue = {}, .network = milliseconds(30), .decode = milliseconds(70), .disk = {}},
       ReadCause::kDecode},
      {"one that had come already",
       {.sent = At(20), .came = At(90), .stored = At(110)},
       {.queue = {}, .network = {}, .decode = milliseconds(10), .disk = milliseconds(90)},
       ReadCause::kDisk},
      {"no fetch", {}, {.disk = milliseconds(100)}, ReadCause::kDisk},
      {"no room for a request",
       {.sent = At(180), .came = At(190), .stored = At(195)},
       {.queue = milliseconds(80),
        .network = milliseconds(10),
        .decode = milliseconds(5),
        .disk = milliseconds(5)},
       ReadCause::kQueue},
      {"moments after the end",
       {.sent = At(150), .came = At(300), .stored = At(400)},
       {.queue = milliseconds(50), .network = milliseconds(50), .decode = {}, .disk = {}},
       ReadCause::kNetwork},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const ReadTimes times = ReadTimes::Of(At(100), c.moments, At(200));
    EXPECT_EQ(times, c.want);
    EXPECT_EQ(times.cause(), c.cause);
    EXPECT_EQ(times.total(), milliseconds(100));
  }
  EXPECT_EQ(ReadTimes::Of(At(100), {}, At(50)).total(), milliseconds(0));
}

TEST(ReadTimesTest, CausesHaveNames) {
  EXPECT_EQ(NameOf(ReadCause::kQueue), "queue");
  EXPECT_EQ(NameOf(ReadCause::kNetwork), "network");
  EXPECT_EQ(NameOf(ReadCause::kDecode), "decode");
  EXPECT_EQ(NameOf(ReadCause::kDisk), "disk");
}

SlowRead Read(uint64_t address, milliseconds network) {
  return {.layer = {},
          .range = {.data_address = address, .size_bytes = 1},
          .times = {.network = network},
          .ended = {},
          .container = {}};
}

TEST(SlowReadsTest, KeepsWhatIsSlow) {
  SlowReads reads;
  reads.Add(Read(1, SlowReads::kSlow));
  reads.Add(Read(2, SlowReads::kSlow - milliseconds(1)));
  reads.Add(Read(3, milliseconds(500)));
  const SlowReads::Trace trace = reads.List();
  EXPECT_EQ(trace.reads, (std::vector{Read(1, SlowReads::kSlow), Read(3, milliseconds(500))}));
  EXPECT_EQ(trace.forgotten, 0U);
}

TEST(SlowReadsTest, ForgetsTheOldest) {
  for (const uint64_t added : {SlowReads::kKept, SlowReads::kKept + 1, SlowReads::kKept * 2 + 17}) {
    SCOPED_TRACE(added);
    SlowReads reads;
    for (uint64_t i = 0; i < added; ++i) {
      reads.Add(Read(i, milliseconds(20)));
    }
    const SlowReads::Trace trace = reads.List();
    ASSERT_EQ(trace.reads.size(), SlowReads::kKept);
    EXPECT_EQ(trace.forgotten, added - SlowReads::kKept);
    for (size_t i = 0; i < trace.reads.size(); ++i) {
      EXPECT_EQ(trace.reads[i].range.data_address, trace.forgotten + i);
    }
  }
}

}  // namespace
}  // namespace starling::layer
