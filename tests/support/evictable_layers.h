/// Lazy layers of one file each, that lose chunks and get them back.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "base/temp_dir.h"
#include "layer/layer_opener.h"
#include "layer/lazy_layer.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/gzip_text.h"
#include "tests/support/lazy_image.h"
#include "tests/support/name_source.h"
#include "tests/support/tar_builder.h"

namespace starling::testing_support {

/// Each layer has one file of 16 chunks.
class EvictableLayersFixture : public testing::Test {
 protected:
  static constexpr uint64_t kChunk = 8192;
  static constexpr uint32_t kChunks = 16;
  struct Layer {
    std::string content;
    std::shared_ptr<store::StoredLayer> stored;
    std::shared_ptr<layer::LazyLayer> lazy;
    std::shared_ptr<MemoryBlob> blob;
  };

  void TearDown() override { CloseStore(); }
  void OpenStore(store::Room::Options room) {
    store_ = *store::LayerStore::Open(directory_.path() / "store", files_, std::move(room));
  }
  void CloseStore() {
    for (const Layer& layer : layers_) {
      layer.lazy->Close();
    }
    layers_.clear();
    cpu_.emplace("cpu", 2);  // its tasks have a layer until they end
    store_.reset();
  }
  Layer& Open(uint32_t seed) {
    if (!store_) {
      OpenStore({});
    }
    Layer layer{.content = Noise(kChunks * kChunk, seed)};
    TarBuilder tar;
    tar.Add({.name = "file", .content = layer.content});
    const auto made = *MakeLazyLayer(tar.Finish(), kChunk);
    layer.blob = image_.Add(made);
    const store::LayerKey key{.layer = made.digest, .toc = made.toc};
    if (const auto stored = store_->Find(key); stored.ok()) {
      layer.stored = *stored;
    } else {
      const auto opened = OpenLayer(image_, key, made.blob.size(), *store_, counters_);
      EXPECT_TRUE(opened.ok()) << opened.status();
      layer.stored = opened->stored;
    }
    layer.lazy = *layer::LazyLayer::Open(
        layer.stored, *cpu_, counters_,
        {.neighbourhood_bytes = 0, .merge_gap_bytes = 0, .request_bytes = 1 << 20});
    NameSource(*layer.lazy, "image", "host", [blob = layer.blob] { return blob; });
    layers_.push_back(layer);
    return layers_.back();
  }
  StatusOr<Bytes> Read(const Layer& layer, layer::DataRange range) {
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
  /// Fails the calls `which` on data files until it is told otherwise.
  void Break(FaultyFileSystem::Operation which, int error) {
    files_.set_hook([=](const FaultyFileSystem::Call& call) {
      return call.operation == which && call.path.filename() == "data" ? ErrnoError(error, "fault")
                                                                       : OkStatus();
    });
  }
  /// Pretends that the machine started anew.
  void SetBoot(const std::string& name) { files_.SetBoot(directory_.path(), name); }
  /// Writes other bytes in a chunk's place, past the store.
  static void Damage(const Layer& layer, uint32_t chunk) {
    const UniqueFd data(::open(layer.stored->data_path().c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(::pwrite(data.get(), "damaged", 7, static_cast<off_t>(chunk * kChunk + 100)), 7);
  }

  TempDir directory_ = *TempDir::Make("/tmp", "eviction-");
  FaultyFileSystem files_;
  std::unique_ptr<store::LayerStore> store_;
  LazyImage image_;
  layer::FetchCounters counters_;
  std::optional<ThreadPool> cpu_{std::in_place, "cpu", 2};
  std::list<Layer> layers_;
};

}  // namespace starling::testing_support
