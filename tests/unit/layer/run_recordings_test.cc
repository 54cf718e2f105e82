#include "layer/run_recordings.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/temp_dir.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/manual_executor.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing_support::ManualClock;
using testing_support::ManualExecutor;
using testing_support::ManualTimer;

constexpr uint64_t kChunk = 4096;

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }

store::LayerKey Key(std::string_view name) {
  return {.layer = DigestOf(name), .toc = DigestOf("toc")};
}

class RunRecordingsTest : public testing::Test {
 protected:
  ~RunRecordingsTest() override { recordings_->Stop(); }

  /// A layer of `count` chunks that follow each other.
  RunRecordings::Layer MakeLayer(std::string_view name, uint32_t count) {
    ChunkTableSpec spec;
    for (uint32_t i = 0; i < count; ++i) {
      spec.chunks.push_back({.data_address = i * kChunk, .size_bytes = kChunk, .member = i});
      spec.members.push_back({.blob_offset = i, .blob_size = 1});
    }
    spec.data_size_bytes = count * kChunk;
    spec.blob_size_bytes = count;
    const auto bytes = std::make_shared<Bytes>(*WriteChunkTable(std::move(spec)));
    return {.key = Key(name),
            .table = *ChunkTable::Open(*bytes),
            .owner = bytes,
            .tap = std::make_shared<ReadTap>()};
  }
  /// The chunks of the layer that the kept profile of `image` has, with the runs of each.
  std::map<uint64_t, uint32_t> Kept(std::string_view image, std::string_view layer) {
    std::map<uint64_t, uint32_t> chunks;
    const auto profile = profiles_.Find(DigestOf(image));
    if (!profile.ok()) {
      return chunks;
    }
    for (const LayerAccess& access : profile->layers()) {
      for (const AccessRange& range : access.ranges) {
        for (uint64_t at = range.range.data_address; at < range.range.end(); at += kChunk) {
          if (access.key == Key(layer)) {
            chunks[at / kChunk] = range.runs;
          }
        }
      }
    }
    return chunks;
  }
  bool IsKept(std::string_view image) { return profiles_.Find(DigestOf(image)).ok(); }
  /// As one whole recording: begins, reads one chunk, ends.
  void RecordRun(std::string_view image, const RunRecordings::Layer& layer, uint32_t chunk) {
    recordings_->Begin(DigestOf(image), layer);
    layer.tap->OnRead(chunk, chunk + 1);
    recordings_->Gone(layer.key);
  }

  using Chunks = std::map<uint64_t, uint32_t>;
  TempDir directory_ = *TempDir::Make(testing::TempDir(), "recordings");
  testing_support::FaultyFileSystem files_;
  ManualClock clock_;
  ManualTimer timer_{clock_};
  ManualExecutor disk_;
  ProfileStore profiles_{directory_.path(), files_};
  std::shared_ptr<RunRecordings> recordings_ =
      std::make_shared<RunRecordings>(RunRecordings::Dependencies{
          .clock = clock_, .timer = timer_, .disk = disk_, .profiles = profiles_});
};

TEST_F(RunRecordingsTest, TellsOfRunsWhileTheyAreRecordedAndAfterwards) {
  auto layer = MakeLayer("layer", 4);
  layer.image = "a/b:1";
  recordings_->Begin(DigestOf("image"), layer);
  EXPECT_TRUE(recordings_->Runs().empty()) << "nothing was read";
  clock_.Advance(seconds(5));
  const auto begun = clock_.WallTime();
  layer.tap->OnRead(1, 2);
  clock_.Advance(seconds(2));
  layer.tap->OnRead(3, 4);
  const auto needs_of = [](const RecordedRun& run) {
    std::map<uint64_t, milliseconds> needs;
    for (const LayerAccess& access : run.needs) {
      for (const AccessRange& range : access.ranges) {
        needs[range.range.data_address / kChunk] = range.first_need;
      }
    }
    return needs;
  };
  const std::map<uint64_t, milliseconds> wanted = {{1, seconds(0)}, {3, seconds(2)}};
  for (const bool has_ended : {false, true}) {
    SCOPED_TRACE(has_ended);
    if (has_ended) {
      timer_.Advance(RunRecordings::kQuiet * 2);
      disk_.RunAll();
    }
    const std::vector<RecordedRun> runs = recordings_->Runs();
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].image, "a/b:1");
    EXPECT_EQ(runs[0].manifest, DigestOf("image"));
    EXPECT_EQ(runs[0].begun, begun);
    EXPECT_EQ(runs[0].ended.has_value(), has_ended);
    EXPECT_EQ(runs[0].layers, std::vector{Key("layer")});
    EXPECT_EQ(needs_of(runs[0]), wanted);
  }
}

TEST_F(RunRecordingsTest, TellsWhatAnImageHasNeededSoFar) {
  const auto layer = MakeLayer("layer", 4);
  const auto other_layer = MakeLayer("other layer", 4);
  recordings_->Begin(DigestOf("image"), layer);
  recordings_->Begin(DigestOf("other"), other_layer);
  EXPECT_FALSE(recordings_->NeedsSoFar(DigestOf("image"))) << "nothing was read";
  layer.tap->OnRead(1, 2);
  const auto needs = recordings_->NeedsSoFar(DigestOf("image"));
  ASSERT_TRUE(needs);
  EXPECT_EQ(needs->needed_bytes(), kChunk);
  EXPECT_FALSE(recordings_->NeedsSoFar(DigestOf("other"))) << "the reads are another image's";
  EXPECT_FALSE(recordings_->NeedsSoFar(DigestOf("unknown")));
  recordings_->Gone(layer.key);
  EXPECT_FALSE(recordings_->NeedsSoFar(DigestOf("image"))) << "it is the store's now";
}

TEST_F(RunRecordingsTest, KeepsTheLatestRunsAndWhatTheyNeededFirst) {
  constexpr uint32_t kChunks = 2 * RunRecordings::kKeptRanges + 2;
  const auto layer = MakeLayer("layer", kChunks);
  for (size_t i = 0; i <= RunRecordings::kKeptRuns; ++i) {
    RecordRun("image" + std::to_string(i), layer, 0);
    clock_.Advance(seconds(1));
  }
  ASSERT_EQ(recordings_->Runs().size(), RunRecordings::kKeptRuns);
  EXPECT_EQ(recordings_->Runs().front().manifest, DigestOf("image1"));
  // Every second chunk, from the end to the front: a range each.
  recordings_->Begin(DigestOf("large"), layer);
  for (uint32_t chunk = kChunks; chunk >= 2; chunk -= 2) {
    layer.tap->OnRead(chunk - 2, chunk - 1);
    clock_.Advance(milliseconds(1));
  }
  recordings_->Gone(layer.key);
  const RecordedRun large = recordings_->Runs().back();
  ASSERT_EQ(large.needs.size(), 1U);
  EXPECT_EQ(large.needs[0].ranges.size(), RunRecordings::kKeptRanges);
  EXPECT_EQ(large.needs[0].ranges.front().range.data_address, 2 * kChunk)
      << "the first is needed last";
}

TEST_F(RunRecordingsTest, KeepsARunOnceNothingNewIsNeeded) {
  const auto bottom = MakeLayer("bottom", 4);
  const auto top = MakeLayer("top", 4);
  recordings_->Begin(DigestOf("image"), bottom);
  recordings_->Begin(DigestOf("image"), top);
  timer_.Advance(std::chrono::hours(1));  // nobody has read yet
  disk_.RunAll();
  EXPECT_FALSE(IsKept("image"));
  bottom.tap->OnRead(0, 2);
  timer_.Advance(seconds(20));
  top.tap->OnRead(3, 4);
  timer_.Advance(RunRecordings::kQuiet - seconds(1));
  bottom.tap->OnRead(0, 2);  // nothing new
  disk_.RunAll();
  EXPECT_FALSE(IsKept("image"));
  timer_.Advance(RunRecordings::kQuiet / 3 + seconds(1));
  disk_.RunAll();
  EXPECT_EQ(Kept("image", "bottom"), (Chunks{{0, 1}, {1, 1}}));
  EXPECT_EQ(Kept("image", "top"), (Chunks{{3, 1}}));
  const auto profile = profiles_.Find(DigestOf("image"));
  const std::vector<PlannedAccess> plan = InOrderOfNeed(*profile);
  EXPECT_EQ(plan.back().first_need, seconds(20));
  // What comes later is not part of it, and costs the timer nothing.
  bottom.tap->OnRead(2, 4);
  timer_.Advance(std::chrono::hours(1));
  disk_.RunAll();
  EXPECT_EQ(*profiles_.Find(DigestOf("image")), *profile);
  EXPECT_EQ(timer_.waiting(), 0U);
}

TEST_F(RunRecordingsTest, EndsARunThatNeverComesToRest) {
  const auto layer = MakeLayer("layer", 4000);
  recordings_->Begin(DigestOf("image"), layer);
  uint32_t chunk = 0;
  for (milliseconds passed(0); passed < RunRecordings::kLongest + seconds(30);
       passed += seconds(1)) {
    layer.tap->OnRead(chunk, chunk + 1);
    ++chunk;
    timer_.Advance(seconds(1));
  }
  disk_.RunAll();
  const size_t kept = Kept("image", "layer").size();
  EXPECT_GE(kept, 600U);
  EXPECT_LE(kept, 611U);
}

TEST_F(RunRecordingsTest, EndsWithALayerThatGoes) {
  const auto layer = MakeLayer("layer", 4);
  recordings_->Begin(DigestOf("image"), layer);
  recordings_->Begin(DigestOf("idle"), MakeLayer("other", 4));
  layer.tap->OnRead(1, 3);
  std::weak_ptr<const void> table = layer.owner;
  recordings_->Gone(layer.key);
  EXPECT_EQ(Kept("image", "layer"), (Chunks{{1, 1}, {2, 1}})) << "at once, without the executor";
  EXPECT_EQ(table.use_count(), 1) << "the layer's bytes are let go";
  recordings_->Gone(Key("other"));
  EXPECT_FALSE(IsKept("idle")) << "nothing ran";
}

TEST_F(RunRecordingsTest, WhatCouldNotBeSeenCountsAsBefore) {
  const auto bottom = MakeLayer("bottom", 4);
  const auto top = MakeLayer("top", 4);
  recordings_->Begin(DigestOf("image"), bottom);
  recordings_->Begin(DigestOf("image"), top);
  bottom.tap->OnRead(0, 2);
  top.tap->OnRead(0, 1);
  recordings_->Gone(top.key);
  // The second time the bottom is read without us, and the top sees another chunk.
  recordings_->Begin(DigestOf("image"), bottom);
  recordings_->Begin(DigestOf("image"), top);
  recordings_->GoesUnseen(bottom.key);
  bottom.tap->OnRead(3, 4);  // by who had it open before
  top.tap->OnRead(1, 2);
  recordings_->Gone(top.key);
  EXPECT_EQ(Kept("image", "bottom"), (Chunks{{0, 2}, {1, 2}, {3, 1}}));
  EXPECT_EQ(Kept("image", "top"), (Chunks{{0, 1}, {1, 1}}));
  // A layer that is not part of the third run at all, since another image shows it already.
  RecordRun("image", top, 1);
  EXPECT_EQ(profiles_.Find(DigestOf("image"))->runs(), 3U);
  EXPECT_EQ(Kept("image", "bottom"), (Chunks{{0, 3}, {1, 3}, {3, 2}})) << "half of two runs";
  EXPECT_EQ(Kept("image", "top"), (Chunks{{0, 1}, {1, 2}}));
}

TEST_F(RunRecordingsTest, AStopKeepsWhatWasSeenUntilThen) {
  const auto layer = MakeLayer("layer", 4);
  RecordRun("image", layer, 0);
  recordings_->Begin(DigestOf("image"), layer);
  layer.tap->OnRead(2, 3);
  recordings_->Stop();
  EXPECT_EQ(Kept("image", "layer"), (Chunks{{0, 2}, {2, 1}})) << "the run went on, unseen";
  RecordRun("image", layer, 3);
  EXPECT_EQ(profiles_.Find(DigestOf("image"))->runs(), 2U);
  timer_.Advance(std::chrono::hours(1));
  EXPECT_EQ(timer_.waiting(), 0U);
}

TEST_F(RunRecordingsTest, ImagesAndChunksAreBounded) {
  const auto layer = MakeLayer("layer", 4);
  for (size_t image = 0; image < RunRecordings::kMaxImages; ++image) {
    recordings_->Begin(DigestOf(fmt::format("image-{}", image)), layer);
    clock_.Advance(milliseconds(1));
  }
  layer.tap->OnRead(0, 1);
  recordings_->Begin(DigestOf("one too many"), layer);
  disk_.RunAll();
  EXPECT_TRUE(IsKept("image-0")) << "the one that began first ended";
  EXPECT_FALSE(IsKept("image-1"));
  layer.tap->OnRead(1, 2);
  recordings_->Gone(layer.key);
  EXPECT_EQ(Kept("image-1", "layer"), (Chunks{{0, 1}, {1, 1}}));
  EXPECT_EQ(Kept("one too many", "layer"), (Chunks{{1, 1}}));
  // Half of all chunks fit once, and not twice.
  const auto huge = MakeLayer("huge", RunRecordings::kMaxChunks / 2 + 1);
  const auto other = MakeLayer("other", RunRecordings::kMaxChunks / 2);
  recordings_->Begin(DigestOf("first"), huge);
  recordings_->Begin(DigestOf("second"), other);
  huge.tap->OnRead(0, 1);
  other.tap->OnRead(0, 1);
  recordings_->Gone(huge.key);
  recordings_->Gone(other.key);
  EXPECT_TRUE(IsKept("first"));
  EXPECT_FALSE(IsKept("second"));
  RecordRun("second", other, 0);
  EXPECT_TRUE(IsKept("second")) << "there is room again";
}

TEST_F(RunRecordingsTest, AFullDiskIsToldOnceAndHarmsNothing) {
  const auto layer = MakeLayer("layer", 4);
  files_.set_free_bytes(0);
  testing::internal::CaptureStderr();
  RecordRun("image", layer, 0);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
  files_.set_free_bytes(UINT64_MAX);
  RecordRun("image", layer, 0);
  EXPECT_EQ(Kept("image", "layer"), (Chunks{{0, 1}}));
}

TEST_F(RunRecordingsTest, ReadersAndEndsMeet) {
  const auto layer = MakeLayer("layer", 1000);
  std::vector<std::thread> readers;
  for (uint32_t reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&] {
      for (uint32_t chunk = 0; chunk < 1000; ++chunk) {
        layer.tap->OnRead(chunk, chunk + 1);
      }
    });
  }
  for (int run = 0; run < 20; ++run) {
    recordings_->Begin(DigestOf("image"), layer);
    recordings_->GoesUnseen(layer.key);
    recordings_->Gone(layer.key);
  }
  for (std::thread& reader : readers) {
    reader.join();
  }
  RecordRun("image", layer, 999);
  EXPECT_TRUE(Kept("image", "layer").contains(999));
}

}  // namespace
}  // namespace starling::layer
