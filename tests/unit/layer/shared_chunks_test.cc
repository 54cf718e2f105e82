#include "layer/shared_chunks.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <list>

#include "base/temp_dir.h"
#include "layer/layer_opener.h"
#include "layer/lazy_layer.h"
#include "tests/support/gzip_text.h"
#include "tests/support/lazy_image.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/name_source.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using testing_support::LazyLayerBlob;
using testing_support::MemoryBlob;
using testing_support::Noise;
using testing_support::TarBuilder;
using testing_support::TarFile;

constexpr uint64_t kChunk = 8192;
constexpr FetchLimits kNoNeighbours{
    .neighbourhood_bytes = 0, .merge_gap_bytes = 0, .request_bytes = 1 << 20};

/// Layers of files with noise in one store.
class SharedChunksTest : public testing::Test {
 protected:
  struct Layer {
    std::shared_ptr<store::StoredLayer> stored;
    std::shared_ptr<LazyLayer> lazy;
    std::shared_ptr<MemoryBlob> blob;
  };

  void TearDown() override {
    for (const Layer& layer : layers_) {
      layer.lazy->Close();
    }
    scheduler_->Close();
  }
  /// A layer with a file of two and a half chunks for each seed; nothing of it is fetched.
  Layer& Open(const std::vector<uint32_t>& seeds) {
    TarBuilder tar;
    for (const uint32_t seed : seeds) {
      tar.Add({.name = fmt::format("file-{}", seed), .content = Noise(kChunk * 5 / 2, seed)});
    }
    const LazyLayerBlob made = *testing_support::MakeLazyLayer(tar.Finish(), kChunk);
    Layer layer{.blob = image_.Add(made)};
    const auto opened = OpenLayer(image_, {.layer = made.digest, .toc = made.toc}, made.blob.size(),
                                  *store_, counters_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    layer.stored = opened->stored;
    layer.lazy = *LazyLayer::Open(layer.stored, cpu_, counters_, kNoNeighbours, scheduler_);
    testing_support::NameSource(*layer.lazy, "image", "host", [blob = layer.blob] { return blob; });
    layers_.push_back(layer);
    return layers_.back();
  }
  void ReadAll(const Layer& layer) {
    const uint64_t size_bytes = layer.lazy->chunks().data_size_bytes();
    std::promise<Status> done;
    layer.lazy->Read({0, size_bytes}, oci::FetchClass::kDemand,
                     [&](const StatusOr<Bytes>& bytes) { done.set_value(bytes.status()); });
    const Status status = done.get_future().get();
    EXPECT_TRUE(status.ok()) << status;
  }
  void Keep(const Layer& layer) {
    const Status kept = kept_.Add(layer.stored->key(), ChunkDigests::Of(layer.lazy->chunks()));
    EXPECT_TRUE(kept.ok()) << kept;
  }
  /// A layer that is held and known to later ones.
  Layer& OpenHeld(const std::vector<uint32_t>& seeds) {
    Layer& layer = Open(seeds);
    ReadAll(layer);
    Keep(layer);
    return layer;
  }
  SharedChunks Find(const Layer& layer) {
    return SharedChunks::Find(*layer.stored, layer.lazy->chunks(), *store_, kept_);
  }
  /// As TAR has it, with zeros behind each file up to the next block.
  static std::string DataOf(const std::vector<uint32_t>& seeds) {
    std::string data;
    for (const uint32_t seed : seeds) {
      data += Noise(kChunk * 5 / 2, seed);
      data.resize((data.size() + 4095) / 4096 * 4096);
    }
    return data;
  }
  void ExpectHolds(const Layer& layer, const std::vector<uint32_t>& seeds) {
    Bytes bytes(layer.lazy->chunks().data_size_bytes());
    ASSERT_TRUE(layer.stored->complete());
    ASSERT_TRUE(layer.stored->Read(0, bytes).ok());
    EXPECT_EQ(AsText(bytes), DataOf(seeds).substr(0, bytes.size()));
  }

  TempDir directory_ = *TempDir::Make("/tmp", "shared-chunks-");
  std::unique_ptr<store::LayerStore> store_ =
      *store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
  KeptDigests kept_{*store_};
  testing_support::LazyImage image_;
  FetchCounters counters_;
  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  ThreadPool cpu_{"cpu", 2};
  std::shared_ptr<FetchScheduler> scheduler_ =
      FetchScheduler::Make({.quiet = std::chrono::milliseconds(0)},
                           {.clock = clock_, .executor = cpu_, .timer = timer_});
  std::list<Layer> layers_;
};

TEST_F(SharedChunksTest, WhatAnotherLayerHoldsIsNotFetched) {
  OpenHeld({1, 2, 3, 4});
  Layer& layer = Open({2, 9, 4});
  SharedChunks shared = Find(layer);
  EXPECT_EQ(shared.size_bytes(), 2 * kChunk * 5 / 2);
  layer.lazy->UseShared(std::move(shared));
  const uint64_t bytes_before = counters_.bytes;
  ReadAll(layer);
  ExpectHolds(layer, {2, 9, 4});
  EXPECT_EQ(layer.blob->requests(), 1U) << "one for the file that is new";
  EXPECT_LT(counters_.bytes - bytes_before, 3 * kChunk);
}

TEST_F(SharedChunksTest, ALayerMayTakeFromSeveral) {
  OpenHeld({1, 2});
  OpenHeld({3});
  Layer& layer = Open({1, 3, 2});
  layer.lazy->UseShared(Find(layer));
  ReadAll(layer);
  ExpectHolds(layer, {1, 3, 2});
  EXPECT_EQ(layer.blob->requests(), 0U);
}

TEST_F(SharedChunksTest, CompletesFromOthersInTheBackground) {
  OpenHeld({1, 2, 3});
  Layer& layer = Open({3, 1, 7});
  layer.lazy->UseShared(Find(layer));
  std::promise<void> complete;
  layer.lazy->WhenComplete([&] { complete.set_value(); });
  layer.lazy->FetchAll();
  complete.get_future().get();
  ExpectHolds(layer, {3, 1, 7});
  EXPECT_EQ(layer.blob->requests(), 1U);
}

TEST_F(SharedChunksTest, NothingIsFoundWhereNothingIsHeld) {
  Layer& absent = Open({1, 2});
  Keep(absent);
  Layer& layer = Open({2, 1});
  EXPECT_TRUE(Find(layer).empty()) << "known, but not fetched";
  Layer& unknown = Open({3});
  ReadAll(unknown);
  EXPECT_TRUE(Find(Open({3, 4})).empty()) << "held, but its digests are not kept yet";
}

TEST_F(SharedChunksTest, ADamagedDonorIsPassedOver) {
  Layer& donor = OpenHeld({1});
  Layer& layer = Open({1, 5});
  SharedChunks shared = Find(layer);
  EXPECT_FALSE(shared.empty());
  {
    std::fstream data(donor.stored->data_path(), std::ios::in | std::ios::out | std::ios::binary);
    data.seekp(100);
    data << "other bytes";
  }
  layer.lazy->UseShared(std::move(shared));
  ReadAll(layer);
  ExpectHolds(layer, {1, 5});
  EXPECT_EQ(layer.blob->requests(), 2U) << "the first chunk, and the file that is new";
}

TEST_F(SharedChunksTest, DamagedDigestsArePassedOver) {
  Layer& donor = OpenHeld({1});
  ASSERT_TRUE(
      store_->WriteDerived(donor.stored->key(), "digests", AsBytes("not a list of digests")).ok());
  Layer& layer = Open({1, 5});
  KeptDigests of_next_process(*store_);
  EXPECT_TRUE(
      SharedChunks::Find(*layer.stored, layer.lazy->chunks(), *store_, of_next_process).empty());
}

TEST_F(SharedChunksTest, ARemovedDonorGivesUntilItIsLetGo) {
  Layer& donor = OpenHeld({1, 2});
  Layer& layer = Open({2, 3});
  SharedChunks shared = Find(layer);
  ASSERT_TRUE(store_->Remove(donor.stored->key()).ok());
  EXPECT_TRUE(Find(layer).empty());
  layer.lazy->UseShared(std::move(shared));
  ReadAll(layer);
  ExpectHolds(layer, {2, 3});
  EXPECT_EQ(layer.blob->requests(), 1U);
}

}  // namespace
}  // namespace starling::layer
