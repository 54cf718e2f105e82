#include "layer/layer_tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace starling::layer {
namespace {

using std::chrono::milliseconds;

/// Chunks of 10, 20, 30 and 40 bytes; the first two in one member of 7 bytes, the others in members
/// of 8 and 9.
class LayerTallyTest : public testing::Test {
 protected:
  LayerTallyTest() {
    ChunkTableSpec spec;
    uint64_t address = 0;
    for (uint32_t i = 0; i < 4; ++i) {
      const uint64_t size_bytes = (i + 1) * 10;
      spec.chunks.push_back({.data_address = address,
                             .size_bytes = size_bytes,
                             .inner_offset = i == 1 ? 10U : 0U,
                             .member = i == 0 ? 0 : i - 1,
                             .digest = oci::Digest::Of(AsBytes("x")).value()});
      address += size_bytes;
    }
    spec.members = {{.blob_offset = 0, .blob_size = 7},
                    {.blob_offset = 7, .blob_size = 8},
                    {.blob_offset = 15, .blob_size = 9}};
    spec.data_size_bytes = address;
    spec.blob_size_bytes = 30;
    bytes_ = *WriteChunkTable(spec);
    table_ = *ChunkTable::Open(bytes_);
  }
  LayerUse Use(const std::set<uint32_t>& present) const {
    return tally_.Use(*table_, [&](uint32_t chunk) { return present.contains(chunk); }, kNow);
  }
  static SlowRead Waited(milliseconds network, bool failed = false) {
    return {.layer = {},
            .range = {},
            .times = {.queue = milliseconds(1), .network = network},
            .ended = {},
            .failed = failed,
            .container = {}};
  }

  static constexpr ReadTimes::TimePoint kNow{std::chrono::hours(1)};

  Bytes bytes_;
  std::optional<ChunkTable> table_;
  LayerTally tally_{4};
};

TEST_F(LayerTallyTest, AFreshLayerHasNothing) {
  LayerUse use = Use({});
  use.parts.clear();
  EXPECT_EQ(use, (LayerUse{.blob_bytes = 30, .total_bytes = 100}));
}

TEST_F(LayerTallyTest, TellsWhatIsHeld) {
  const LayerUse use = Use({0, 2});
  EXPECT_EQ(use.held_bytes, 40U);
  EXPECT_EQ(use.held_blob_bytes, 8U) << "one chunk of the first member is missing";
  EXPECT_EQ(Use({0, 1, 2, 3}).held_blob_bytes, 24U);
}

TEST_F(LayerTallyTest, TellsWhereInTheLayerThatIs) {
  tally_.OnNeeded(2);  // bytes 30 to 60
  const LayerUse use = Use({0, 2});
  ASSERT_EQ(use.parts.size(), LayerUse::kParts);
  LayerUse::Part sum;
  for (size_t i = 0; i < use.parts.size(); ++i) {
    const LayerUse::Part& part = use.parts[i];
    const uint64_t begin = 100 * i / LayerUse::kParts;
    const uint64_t end = 100 * (i + 1) / LayerUse::kParts;
    const auto common = [&](uint64_t from, uint64_t to) {
      return std::max(std::min(end, to), from) - std::min(std::max(begin, from), to);
    };
    EXPECT_EQ(part.total_bytes, end - begin) << i;
    EXPECT_EQ(part.needed_bytes, begin >= 60 || end <= 30 ? 0 : common(30, 60)) << i;
    sum.total_bytes += part.total_bytes;
    sum.held_bytes += part.held_bytes;
    sum.needed_bytes += part.needed_bytes;
  }
  EXPECT_EQ(sum, (LayerUse::Part{.total_bytes = 100, .held_bytes = 40, .needed_bytes = 30}));
  EXPECT_EQ(use.parts[0].held_bytes, use.parts[0].total_bytes);
  EXPECT_EQ(use.parts.back().held_bytes, 0U);
}

TEST_F(LayerTallyTest, WhatCameAndNobodyReadIsWasted) {
  tally_.OnCame(0, Purpose::kDemand);
  tally_.OnCame(1, Purpose::kPrefetch);
  tally_.OnCame(2, Purpose::kPrefetch);
  tally_.OnNeeded(0);
  tally_.OnNeeded(2);
  tally_.OnNeeded(2);
  tally_.OnNeeded(3);  // held since an earlier process
  const LayerUse use = Use({0, 1, 2, 3});
  EXPECT_EQ(use.needed_bytes, 80U);
  EXPECT_EQ(use.wasted_bytes, 20U);
  using Came = LayerUse::Came;
  EXPECT_EQ(use.came[static_cast<size_t>(Purpose::kDemand)],
            (Came{.bytes = 10, .needed_bytes = 10}));
  EXPECT_EQ(use.came[static_cast<size_t>(Purpose::kPrefetch)],
            (Came{.bytes = 50, .needed_bytes = 30}));
}

TEST_F(LayerTallyTest, WhatAChunkFirstCameForCounts) {
  tally_.OnCame(3, Purpose::kBackground);
  tally_.OnCame(3, Purpose::kDemand);
  const LayerUse use = Use({});
  EXPECT_EQ(use.came[static_cast<size_t>(Purpose::kBackground)].bytes, 40U);
  EXPECT_EQ(use.came[static_cast<size_t>(Purpose::kDemand)].bytes, 0U);
}

TEST_F(LayerTallyTest, AddsUpWhatWasFetched) {
  tally_.OnOpened(2, 5);
  tally_.OnRequest(Purpose::kDemand);
  tally_.OnBytes(Purpose::kDemand, 3);
  tally_.OnBytes(Purpose::kDemand, 4);
  const LayerUse use = Use({});
  EXPECT_EQ(use.fetched_bytes(), 12U);
  using Fetched = LayerUse::Fetched;
  EXPECT_EQ(use.fetched[static_cast<size_t>(Purpose::kIndex)],
            (Fetched{.requests = 2, .bytes = 5}));
  EXPECT_EQ(use.fetched[static_cast<size_t>(Purpose::kDemand)],
            (Fetched{.requests = 1, .bytes = 7}));
}

TEST_F(LayerTallyTest, KeepsTheWorstReads) {
  for (int i = 1; i <= 20; ++i) {
    tally_.OnWaited(&tally_, Waited(milliseconds(i * 7 % 20)));
  }
  tally_.OnWaited(&tally_, Waited(milliseconds(100), /*failed=*/true));
  const LayerUse::Stalls stalls = Use({}).stalls;
  EXPECT_EQ(stalls.reads, 21U);
  EXPECT_EQ(stalls.failed, 1U);
  EXPECT_EQ(stalls.times.queue, milliseconds(21));
  EXPECT_EQ(stalls.times.network, milliseconds(190 + 100));
  ASSERT_EQ(stalls.worst.size(), LayerTally::kWorst);
  EXPECT_EQ(stalls.worst[0], Waited(milliseconds(100), true));
  for (size_t i = 1; i < stalls.worst.size(); ++i) {
    EXPECT_EQ(stalls.worst[i], Waited(milliseconds(20 - i)));
  }
}

TEST_F(LayerTallyTest, TellsOfReadsThatWait) {
  const int ids[10] = {};
  for (uint64_t i = 0; i < 10; ++i) {
    tally_.OnWaits(&ids[i], {.data_address = i, .size_bytes = 1}, kNow - milliseconds(100 + i));
  }
  tally_.OnWaited(&ids[9], Waited(milliseconds(5)));
  const LayerUse::Waiting waiting = Use({}).waiting;
  EXPECT_EQ(waiting.reads, 9U);
  ASSERT_EQ(waiting.longest.size(), LayerTally::kWorst);
  EXPECT_EQ(waiting.longest[0],
            (LayerUse::WaitingRead{.range = {.data_address = 8, .size_bytes = 1},
                                   .waited = milliseconds(108)}));
  EXPECT_EQ(waiting.longest.back().waited, milliseconds(101));
  for (const int& id : ids) {
    tally_.OnWaited(&id, Waited(milliseconds(5)));
  }
  EXPECT_EQ(Use({}).waiting, LayerUse::Waiting());
}

}  // namespace
}  // namespace starling::layer
