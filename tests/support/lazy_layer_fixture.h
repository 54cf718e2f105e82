/// A lazy layer with all that it reads from and writes to.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "base/executor.h"
#include "base/temp_dir.h"
#include "layer/layer_opener.h"
#include "layer/lazy_layer.h"
#include "store/layer_store.h"
#include "tests/support/lazy_image.h"

namespace starling::testing_support {

class LazyLayerFixture : public testing::Test {
 protected:
  /// That of the store.
  virtual FileSystem& files() { return RealFileSystem(); }
  /// Sets layer_ to the layer of `tar`, and blob_ to where its bytes come from. Whoever opens
  /// another one closes the layer before.
  void OpenLayer(std::string_view tar, uint64_t chunk_size_bytes,
                 const layer::FetchLimits& limits = {}) {
    const auto made = MakeLazyLayer(tar, chunk_size_bytes);
    ASSERT_TRUE(made.ok()) << made.status();
    blob_ = image_.Add(*made);
    if (!layers_) {
      auto layers = store::LayerStore::Open(directory_.path() / "store", files());
      ASSERT_TRUE(layers.ok()) << layers.status();
      layers_ = *std::move(layers);
    }
    const auto opened = layer::OpenLayer(image_, {.layer = made->digest, .toc = made->toc},
                                         made->blob.size(), *layers_, counters_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    auto layer = layer::LazyLayer::Open(opened->stored, cpu_, counters_, limits);
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
    layer_->UseReader(opened->reader);
  }
  void TearDown() override {
    if (layer_) {
      layer_->Close();
    }
  }

  TempDir directory_ = *TempDir::Make("/tmp", "lazy-layer-");
  LazyImage image_;
  std::shared_ptr<MemoryBlob> blob_;
  std::unique_ptr<store::LayerStore> layers_;
  layer::FetchCounters counters_;
  ThreadPool cpu_{"cpu", 2};
  std::shared_ptr<layer::LazyLayer> layer_;
};

}  // namespace starling::testing_support
