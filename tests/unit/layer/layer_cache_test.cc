#include "layer/layer_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/clock.h"
#include "tests/support/evictable_layers.h"

namespace starling::layer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LayerCacheTest : public testing_support::EvictableLayersFixture {
 protected:
  LayerCacheTest() { OpenStore({}); }

  /// Of the layers that are open now; an image for each, named after its number.
  std::unique_ptr<LayerCache> MakeCache() {
    return std::make_unique<LayerCache>(
        LayerCache::Dependencies{.layers = *store_,
                                 .open_layers = [this] { return OpenLayers(); },
                                 .remove = [this](const store::LayerKey& key) -> StatusOr<bool> {
                                   RETURN_IF_ERROR(store_->Remove(key));
                                   return true;
                                 },
                                 .now = [] { return SystemClock().Now(); }},
        *Pins::Open(directory_.path() / "store" / Pins::kFileName, files_));
  }
  std::vector<LayerCache::OpenLayer> OpenLayers() {
    std::vector<LayerCache::OpenLayer> open;
    for (const Layer& layer : layers_) {
      open.push_back({.layer = layer.lazy,
                      .is_shown = true,
                      .images = {fmt::format("docker.io/library/app:{}", open.size() + 1)}});
    }
    return open;
  }
  static std::string NameOf(const Layer& layer) { return layer.stored->key().layer.ToString(); }
  static CachedLayer Find(const CacheState& state, const Layer& layer) {
    const auto found = std::ranges::find(state.layers, layer.stored->key(), &CachedLayer::key);
    EXPECT_NE(found, state.layers.end());
    return found == state.layers.end() ? CachedLayer() : *found;
  }
  std::vector<Verification> VerifyAll(Cache& cache) {
    std::vector<Verification> done;
    const Status status = cache.Verify(std::nullopt, [&](const Verification& so_far) {
      if (so_far.is_done) {
        done.push_back(so_far);
      }
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return done;
  }
};

TEST_F(LayerCacheTest, ListsWhatIsHeld) {
  Layer& one = Open(1);
  Layer& two = Open(2);
  ReadChunks(one, 0, 3);
  const auto state = MakeCache()->List();
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ(state->layers.size(), 2U);
  const CachedLayer found = Find(*state, one);
  EXPECT_EQ(found.held_bytes, 3 * kChunk);
  EXPECT_EQ(found.total_bytes, kChunks * kChunk);
  EXPECT_EQ(found.disk_bytes, one.stored->disk_bytes());
  EXPECT_FALSE(found.is_complete);
  EXPECT_TRUE(found.is_shown);
  EXPECT_THAT(found.pins, IsEmpty());
  EXPECT_THAT(found.images, ElementsAre("docker.io/library/app:1"));
  EXPECT_TRUE(found.since_last_read.has_value());
  EXPECT_FALSE(Find(*state, two).since_last_read.has_value());
  EXPECT_EQ(state->disk_bytes, store_->room().held_bytes());
}

TEST_F(LayerCacheTest, WhatIsPinnedStays) {
  Layer& one = Open(1);
  Layer& two = Open(2);
  Layer& three = Open(3);
  for (const Layer* layer : {&one, &two, &three}) {
    ReadChunks(*layer, 0, kChunks);
  }
  EXPECT_EQ(MakeCache()->Pin("docker://app:1").value(), 1U);
  EXPECT_EQ(MakeCache()->Pin(NameOf(two)).value(), 1U);
  EXPECT_EQ(MakeCache()->Pin("app:4").status().code(), StatusCode::kNotFound);
  const auto cache = MakeCache();  // as after a restart
  EXPECT_THAT(cache->List()->pins, ElementsAre("docker.io/library/app:1", NameOf(two)));
  EXPECT_THAT(Find(*cache->List(), one).pins, ElementsAre("pinned with docker.io/library/app:1"));
  EXPECT_THAT(Find(*cache->List(), two).pins, ElementsAre("pinned"));
  EXPECT_EQ(cache->MakeRoom(UINT64_MAX), kChunks * kChunk);
  EXPECT_EQ(Held(one), "xxxxxxxxxxxxxxxx");
  EXPECT_EQ(Held(two), "xxxxxxxxxxxxxxxx");
  EXPECT_EQ(Held(three), "................");
  EXPECT_EQ(cache->Evict(one.stored->key().layer).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(cache->Clear()->content_bytes, 0U);
  EXPECT_EQ(cache->Unpin("app:1").value(), 1U);
  EXPECT_EQ(cache->Unpin("app:1").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(cache->Evict(one.stored->key().layer)->content_bytes, kChunks * kChunk);
  EXPECT_EQ(Held(one), "................");
  ReadChunks(one, 0, kChunks);
}

TEST_F(LayerCacheTest, WhatTheKernelReadsStays) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  ASSERT_TRUE(layer.stored->PinIfComplete());
  const auto cache = MakeCache();
  EXPECT_THAT(Find(*cache->List(), layer).pins, ElementsAre(HasSubstr("kernel")));
  EXPECT_EQ(cache->Evict(layer.stored->key().layer).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(cache->EvictTo(0)->content_bytes, 0U);
  EXPECT_EQ(cache->Clear()->content_bytes, 0U);
}

TEST_F(LayerCacheTest, EvictsToASize) {
  Layer& one = Open(1);
  Layer& two = Open(2);
  ReadChunks(one, 0, kChunks);
  ReadChunks(two, 0, kChunks);
  const auto cache = MakeCache();
  const uint64_t wanted = store_->room().held_bytes() - 20 * kChunk;
  const auto evicted = cache->EvictTo(wanted);
  ASSERT_TRUE(evicted.ok()) << evicted.status();
  EXPECT_LE(evicted->disk_bytes, wanted);
  EXPECT_GT(evicted->disk_bytes, wanted - 2 * kChunk) << "and no more than that";
  EXPECT_EQ(Held(one), "................") << "it was not read for longest";
  EXPECT_GT(cache->EvictTo(0)->disk_bytes, 0U) << "indexes stay";
  EXPECT_EQ(cache->Evict(oci::Digest::Of({})).status().code(), StatusCode::kNotFound);
}

TEST_F(LayerCacheTest, ClearRemovesWhatNothingUses) {
  Layer& used = Open(1);
  ReadChunks(used, 0, 8);
  ReadChunks(Open(2), 0, 8);
  ReadChunks(Open(3), 0, 8);
  const std::string pinned = NameOf(layers_.back());
  layers_.back().lazy->Close();
  layers_.pop_back();
  layers_.back().lazy->Close();
  layers_.pop_back();
  const auto cache = MakeCache();
  ASSERT_TRUE(cache->Pin(pinned).ok());
  const auto cleared = cache->Clear();
  ASSERT_TRUE(cleared.ok()) << cleared.status();
  EXPECT_EQ(cleared->layers, 1U);
  EXPECT_EQ(cleared->content_bytes, 16 * kChunk);
  EXPECT_EQ(store_->List()->size(), 2U);
  ReadChunks(used, 0, kChunks);
}

TEST_F(LayerCacheTest, WhatIsWrongIsFetchedAgain) {
  Layer& one = Open(1);
  Layer& two = Open(2);
  ReadChunks(one, 0, kChunks);
  ReadChunks(two, 0, kChunks);
  const auto cache = MakeCache();
  for (const Verification& done : VerifyAll(*cache)) {
    EXPECT_EQ(done.wrong_chunks, 0U);
    EXPECT_EQ(done.checked_bytes, kChunks * kChunk);
  }
  Damage(two, 4);
  Damage(two, 5);
  const size_t before = two.blob->requests();
  for (const Verification& done : VerifyAll(*cache)) {
    EXPECT_EQ(done.wrong_chunks, done.key == two.stored->key() ? 2U : 0U);
    EXPECT_EQ(done.mended_chunks, done.wrong_chunks);
  }
  EXPECT_EQ(two.blob->requests(), before + 2);
  EXPECT_EQ(Held(two), "xxxxxxxxxxxxxxxx");
  EXPECT_EQ(cache->Verify(oci::Digest::Of({}), [](const auto&) { return true; }).code(),
            StatusCode::kNotFound);
  EXPECT_EQ(cache->Verify(std::nullopt, [](const auto&) { return false; }).code(),
            StatusCode::kCancelled);
}

TEST_F(LayerCacheTest, SaysWhyItCannotBeFetchedAgain) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, kChunks);
  Damage(layer, 4);
  layer.lazy->Close();
  const auto done = VerifyAll(*MakeCache());
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].wrong_chunks, 1U);
  EXPECT_EQ(done[0].mended_chunks, 0U);
  EXPECT_THAT(done[0].problem, HasSubstr("closed"));
}

TEST_F(LayerCacheTest, AStoreThatNobodyUsesHasOneToo) {
  Layer& layer = Open(1);
  ReadChunks(layer, 0, 8);
  Damage(layer, 2);
  const oci::Digest digest = layer.stored->key().layer;
  const auto path = directory_.path() / "store";
  EXPECT_EQ(OpenStoredCache(path, files_).status().code(), StatusCode::kFailedPrecondition)
      << "it is in use";
  CloseStore();
  EXPECT_EQ(OpenStoredCache(path / "none", files_).status().code(), StatusCode::kNotFound);
  const auto cache = OpenStoredCache(path, files_);
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ((*cache)->List()->layers.at(0).held_bytes, 8 * kChunk);
  const auto done = VerifyAll(**cache);
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].wrong_chunks, 1U);
  EXPECT_THAT(done[0].problem, HasSubstr("when it is read"));
  EXPECT_EQ((*cache)->EvictTo(0)->content_bytes, 7 * kChunk);
  EXPECT_EQ((*cache)->Evict(digest)->content_bytes, 0U);
  EXPECT_EQ((*cache)->Clear()->layers, 1U);
  EXPECT_THAT((*cache)->List()->layers, IsEmpty());
}

}  // namespace
}  // namespace starling::layer
