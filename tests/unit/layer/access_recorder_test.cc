#include "layer/access_recorder.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/manual_clock.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using testing_support::ManualClock;

constexpr uint64_t kChunk = 5000;  // of 8192 bytes of the device
constexpr uint64_t kStep = 8192;

store::LayerKey Key(std::string_view name) {
  return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
}

/// A table of `count` chunks with padding between them, and the counted owner of its bytes.
struct Layer {
  explicit Layer(uint32_t count) {
    ChunkTableSpec spec;
    for (uint32_t i = 0; i < count; ++i) {
      spec.chunks.push_back({.data_address = i * kStep, .size_bytes = kChunk, .member = i});
      spec.members.push_back({.blob_offset = i, .blob_size = 1});
    }
    spec.data_size_bytes = count * kStep;
    spec.blob_size_bytes = count;
    auto written = WriteChunkTable(std::move(spec));
    EXPECT_TRUE(written.ok()) << Describe(written.status());
    bytes = std::make_shared<Bytes>(*std::move(written));
  }
  ChunkTable table() const { return *ChunkTable::Open(*bytes); }

  std::shared_ptr<Bytes> bytes;
};

const oci::Digest kImage = oci::Digest::Of(AsBytes("image"));

TEST(AccessRecorder, NotesTheFirstNeedOfEachChunk) {
  ManualClock clock;
  AccessRecorder recorder(clock);
  const Layer layer(10);
  const auto observer = recorder.AddLayer(Key("a"), layer.table(), layer.bytes);
  ASSERT_NE(observer, nullptr);
  clock.Advance(milliseconds(777));  // times count from the first read
  observer->OnRead(2, 4);
  clock.Advance(milliseconds(5));
  observer->OnRead(3, 5);  // one of them anew
  clock.Advance(milliseconds(100));
  observer->OnRead(0, 10);
  const auto profile = recorder.Snapshot(kImage);
  ASSERT_TRUE(profile.ok()) << Describe(profile.status());
  EXPECT_EQ(profile->image(), kImage);
  EXPECT_EQ(profile->runs(), 1U);
  ASSERT_EQ(profile->layers().size(), 1U);
  EXPECT_EQ(profile->layers()[0].key, Key("a"));
  const std::vector<AccessRange> want = {
      {.range = {0, kStep + kChunk}, .first_need = milliseconds(105)},
      {.range = {2 * kStep, 2 * kStep + kChunk}, .first_need = milliseconds(0)},
      {.range = {5 * kStep, 4 * kStep + kChunk}, .first_need = milliseconds(105)}};
  EXPECT_EQ(profile->layers()[0].ranges, want);
}

TEST(AccessRecorder, TellsHowLongNothingNewWasNeeded) {
  ManualClock clock;
  AccessRecorder recorder(clock);
  const Layer layer(4);
  const auto observer = recorder.AddLayer(Key("a"), layer.table(), layer.bytes);
  clock.Advance(milliseconds(50));
  EXPECT_FALSE(recorder.TimesOfRun().has_value()) << "nobody has read";
  observer->OnRead(0, 1);
  clock.Advance(milliseconds(10));
  observer->OnRead(1, 2);
  clock.Advance(milliseconds(7));
  observer->OnRead(0, 2);  // nothing new
  const auto times = recorder.TimesOfRun();
  ASSERT_TRUE(times.has_value());
  EXPECT_EQ(times->passed, milliseconds(17));
  EXPECT_EQ(times->quiet, milliseconds(7));
}

TEST(AccessRecorder, CountsTheTimeOfAllLayersTogether) {
  ManualClock clock;
  AccessRecorder recorder(clock);
  const Layer layer(2);
  const auto one = recorder.AddLayer(Key("a"), layer.table(), layer.bytes);
  const auto two = recorder.AddLayer(Key("b"), layer.table(), layer.bytes);
  EXPECT_EQ(recorder.AddLayer(Key("a"), layer.table(), layer.bytes), one) << "one for each key";
  one->OnRead(0, 1);
  clock.Advance(milliseconds(40));
  two->OnRead(1, 2);
  const auto profile = recorder.Snapshot(kImage);
  ASSERT_TRUE(profile.ok());
  const std::vector<PlannedAccess> plan = InOrderOfNeed(*profile);
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(profile->layers()[plan[0].layer].key, Key("a"));
  EXPECT_EQ(plan[1].first_need, milliseconds(40));
  EXPECT_EQ(plan[1].range, (DataRange{kStep, kChunk}));
}

TEST(AccessRecorder, IsBounded) {
  ManualClock clock;
  AccessRecorder recorder(clock);
  const Layer layer(3);
  const auto observer = recorder.AddLayer(Key("a"), layer.table(), layer.bytes);
  observer->OnRead(2, UINT32_MAX);
  observer->OnRead(7, 9);
  observer->OnRead(1, 1);
  EXPECT_EQ(recorder.Snapshot(kImage)->needed_bytes(), kChunk) << "chunks that there are not";
}

TEST(AccessRecorder, LetsGoOfTablesWithItsObservers) {
  ManualClock clock;
  Layer layer(3);
  std::weak_ptr<Bytes> bytes = layer.bytes;
  auto recorder = std::make_unique<AccessRecorder>(clock);
  const ChunkTable table = layer.table();
  auto observer = recorder->AddLayer(Key("a"), table, std::move(layer.bytes));
  recorder.reset();
  observer->OnRead(0, 3);
  EXPECT_FALSE(bytes.expired());
  observer.reset();
  EXPECT_TRUE(bytes.expired());
}

TEST(AccessRecorder, TakesReadsOfManyThreads) {
  ManualClock clock;
  AccessRecorder recorder(clock);
  const Layer layer(1000);
  const auto observer = recorder.AddLayer(Key("a"), layer.table(), layer.bytes);
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint32_t chunk = thread * 200; chunk < 1000; ++chunk) {
        observer->OnRead(chunk, chunk + 1);
        (void)recorder.Snapshot(kImage);
        chunk += chunk % 7 == 0 ? 10 : 0;
      }
      observer->OnRead(0, 1000);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(recorder.Snapshot(kImage)->layers()[0].ranges,
            (std::vector<AccessRange>{{.range = {0, 999 * kStep + kChunk}}}));
}

}  // namespace
}  // namespace starling::layer
