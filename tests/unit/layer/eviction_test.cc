#include "layer/eviction.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/support/evictable_layers.h"

namespace starling::layer {
namespace {

class EvictionTest : public testing_support::EvictableLayersFixture {
 protected:
  uint64_t MakeRoom(uint64_t wanted_bytes) {
    std::vector<std::shared_ptr<LazyLayer>> layers;
    for (const Layer& layer : layers_) {
      layers.push_back(layer.lazy);
    }
    return layer::MakeRoom(layers, wanted_bytes);
  }
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
  EXPECT_EQ(store_->room().held_bytes(), old.stored->disk_bytes() + recent.stored->disk_bytes());
  EXPECT_LT(store_->room().held_bytes(), kChunks * kChunk) << "indexes alone";
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
  uint64_t index_bytes = 0;
  {
    Open(1);
    index_bytes = store_->room().held_bytes();
    CloseStore();
  }
  OpenStore({.max_bytes = index_bytes + 4 * kChunk, .on_low = [&] { ++low; }});
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  EXPECT_EQ(store_->room().held_bytes(), index_bytes + 4 * kChunk);
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
  EXPECT_EQ(store_->room().held_bytes(), layer.stored->disk_bytes());
}

}  // namespace
}  // namespace starling::layer
