#include "layer/eviction.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <list>
#include <random>
#include <thread>

#include "base/temp_dir.h"
#include "layer/layer_opener.h"
#include "tests/support/gzip_text.h"
#include "tests/support/lazy_image.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using testing_support::MemoryBlob;
using testing_support::Noise;

constexpr uint64_t kChunk = 8192;
constexpr uint32_t kChunks = 16;
constexpr FetchLimits kNoNeighbours{
    .neighbourhood_bytes = 0, .merge_gap_bytes = 0, .request_bytes = 1 << 20};

/// Layers of one file of 16 chunks.
class EvictionTest : public testing::Test {
 protected:
  struct Layer {
    std::string content;
    std::shared_ptr<store::StoredLayer> stored;
    std::shared_ptr<LazyLayer> lazy;
    std::shared_ptr<MemoryBlob> blob;
  };

  void TearDown() override {
    for (const Layer& layer : layers_) {
      layer.lazy->Close();
    }
  }
  void OpenStore(store::Room::Options room) {
    store_ =
        *store::LayerStore::Open(directory_.path() / "store", RealFileSystem(), std::move(room));
  }
  Layer& Open(uint32_t seed) {
    if (!store_) {
      OpenStore({});
    }
    Layer layer{.content = Noise(kChunks * kChunk, seed)};
    testing_support::TarBuilder tar;
    tar.Add({.name = "file", .content = layer.content});
    const auto made = *testing_support::MakeLazyLayer(tar.Finish(), kChunk);
    layer.blob = image_.Add(made);
    const auto opened = OpenLayer(image_, {.layer = made.digest, .toc = made.toc}, made.blob.size(),
                                  *store_, counters_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    layer.stored = opened->stored;
    layer.lazy = *LazyLayer::Open(layer.stored, cpu_, counters_, kNoNeighbours);
    layer.lazy->AddSource("image", "host", [blob = layer.blob] { return blob; });
    layers_.push_back(layer);
    return layers_.back();
  }
  StatusOr<Bytes> Read(const Layer& layer, DataRange range) {
    Bytes held(range.size_bytes);
    const auto read = layer.lazy->ReadPresent(range.data_address, held);
    if (!read.ok() || *read) {
      return read.ok() ? StatusOr<Bytes>(std::move(held)) : read.status();
    }
    std::promise<StatusOr<Bytes>> done;
    layer.lazy->Read(range, oci::FetchClass::kDemand,
                     [&](StatusOr<Bytes> bytes) { done.set_value(std::move(bytes)); });
    return done.get_future().get();
  }
  void ReadChunks(const Layer& layer, uint32_t first, uint32_t last) {
    for (uint32_t chunk = first; chunk < last; ++chunk) {
      const auto bytes = Read(layer, {chunk * kChunk, kChunk});
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      EXPECT_EQ(AsText(*bytes), layer.content.substr(chunk * kChunk, kChunk));
    }
  }
  /// Brings chunks that nobody reads.
  void Bring(const Layer& layer, uint32_t first, uint32_t last) {
    std::promise<Status> done;
    layer.lazy->MakePresent({first * kChunk, (last - first) * kChunk}, oci::FetchClass::kPrefetch,
                            [&](const Status& status) { done.set_value(status); });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  static std::string Held(const Layer& layer) {
    std::string held;
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
      held += layer.stored->IsPresent(chunk) ? 'x' : '.';
    }
    return held;
  }
  uint64_t MakeRoom(uint64_t wanted_bytes) {
    std::vector<std::shared_ptr<LazyLayer>> layers;
    for (const Layer& layer : layers_) {
      layers.push_back(layer.lazy);
    }
    return layer::MakeRoom(layers, wanted_bytes);
  }

  TempDir directory_ = *TempDir::Make("/tmp", "eviction-");
  std::unique_ptr<store::LayerStore> store_;
  testing_support::LazyImage image_;
  FetchCounters counters_;
  ThreadPool cpu_{"cpu", 2};
  std::list<Layer> layers_;
};

TEST_F(EvictionTest, WhatNobodyReadGoesFirst) {
  Layer& old = Open(1);
  Layer& recent = Open(2);
  Bring(old, 0, 8);
  ReadChunks(old, 0, 4);
  Bring(recent, 0, 8);
  ReadChunks(recent, 0, 4);
  EXPECT_EQ(MakeRoom(2 * kChunk), 2 * kChunk);
  EXPECT_EQ(Held(old), "xxxx..xx........");
  EXPECT_EQ(Held(recent), "xxxxxxxx........");
  // Nothing was read since: the layer that was not read for longest loses all.
  ReadChunks(recent, 0, 1);
  EXPECT_EQ(MakeRoom(7 * kChunk), 7 * kChunk);
  EXPECT_EQ(Held(old), "................");
  EXPECT_EQ(Held(recent), "x.xxxxxx........");
  EXPECT_EQ(MakeRoom(100 * kChunk), 7 * kChunk) << "there is no more";
  EXPECT_EQ(Held(recent), "................");
  EXPECT_EQ(store_->room().held_bytes(), 0U);
}

TEST_F(EvictionTest, WhatWasEvictedIsFetchedWhenItIsRead) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  const size_t before = layer.blob->requests();
  EXPECT_EQ(MakeRoom(UINT64_MAX), kChunks * kChunk);
  EXPECT_FALSE(layer.stored->complete());
  ReadChunks(layer, 3, 5);
  EXPECT_EQ(layer.blob->requests(), before + 2);
  EXPECT_EQ(Held(layer), "...xx...........");
}

TEST_F(EvictionTest, APinnedLayerStays) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks - 1);
  EXPECT_FALSE(layer.stored->PinIfComplete());
  EXPECT_EQ(MakeRoom(1), kChunk);
  ReadChunks(layer, 0, kChunks);
  EXPECT_TRUE(layer.stored->PinIfComplete());
  EXPECT_EQ(MakeRoom(UINT64_MAX), 0U);
  EXPECT_TRUE(layer.stored->complete());
}

TEST_F(EvictionTest, AFullStoreServesThroughMemory) {
  std::atomic<int> low = 0;
  OpenStore({.max_bytes = 4 * kChunk, .on_low = [&] { ++low; }});
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  EXPECT_EQ(store_->room().held_bytes(), 4 * kChunk);
  EXPECT_GT(low, 0);
  const size_t before = layer.blob->requests();
  ReadChunks(layer, 0, kChunks);
  EXPECT_EQ(layer.blob->requests(), before) << "what found no room is kept in memory for a while";
  EXPECT_EQ(MakeRoom(2 * kChunk), 2 * kChunk);
  ReadChunks(layer, 0, 2);
  EXPECT_EQ(layer.blob->requests(), before + 2);
  EXPECT_EQ(Held(layer), "xxxx............") << "there is room again";
}

TEST_F(EvictionTest, ReadersNeverSeeWhatIsGoing) {
  Layer& layer = Open(1);
  std::atomic<bool> ends = false;
  std::atomic<uint64_t> wrong = 0;
  std::vector<std::jthread> readers;
  for (uint32_t reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937 random(reader);
      while (!ends) {
        const uint64_t first = random() % kChunks;
        const uint64_t count = 1 + random() % (kChunks - first);
        const auto bytes = Read(layer, {first * kChunk, count * kChunk});
        const bool is_right =
            bytes.ok() && AsText(*bytes) == layer.content.substr(first * kChunk, count * kChunk);
        wrong += is_right ? 0 : 1;
      }
    });
  }
  std::mt19937 random(9);
  while (layer.stored->evictions() < 2000) {
    MakeRoom(random() % kChunks * kChunk);
    std::this_thread::yield();
  }
  ends = true;
  readers.clear();
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(store_->room().held_bytes(), layer.stored->present_bytes());
}

}  // namespace
}  // namespace starling::layer
