/// A small layer and a store to keep it in.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/temp_dir.h"
#include "store/layer_store.h"
#include "tests/support/faulty_file_system.h"

namespace starling::testing_support {

class StoreFixture : public testing::Test {
 protected:
  static constexpr uint64_t kChunks = 100;
  static constexpr uint64_t kChunkBytes = 5000;

  StoreFixture() { SetBoot("1"); }

  /// Pretends that the machine started anew.
  void SetBoot(const std::string& name) { files_.SetBoot(directory_.path(), name); }

  std::unique_ptr<store::LayerStore> OpenStore() {
    auto opened = store::LayerStore::Open(root_, files_);
    EXPECT_TRUE(opened.ok()) << Describe(opened.status());
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  static store::LayerKey Key(std::string_view name = "layer") {
    return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
  }
  static store::LayerInfo Info() {
    return {
        .blob_size_bytes = 1234, .data_size_bytes = kChunks * kChunkBytes, .chunk_count = kChunks};
  }
  static StatusOr<std::shared_ptr<store::StoredLayer>> Create(store::LayerStore& layers,
                                                              const store::LayerKey& key = Key()) {
    return layers.Create(key, Info(), AsBytes("the index"), AsBytes("the chunk table"));
  }

  static Bytes ChunkOf(uint64_t chunk) {
    return Bytes(kChunkBytes, static_cast<std::byte>(chunk + 1));
  }
  static Status Put(store::StoredLayer& layer, uint64_t chunk) {
    const Bytes bytes = ChunkOf(chunk);
    return layer.Put(chunk, chunk * kChunkBytes, bytes, oci::Digest::Of(bytes));
  }
  static Status Reclaim(store::StoredLayer& layer, uint64_t chunk) {
    return layer.Reclaim(chunk, chunk * kChunkBytes, kChunkBytes, oci::Digest::Of(ChunkOf(chunk)));
  }
  static bool HoldsRightBytes(const store::StoredLayer& layer, uint64_t chunk) {
    Bytes out(kChunkBytes);
    return layer.Read(chunk * kChunkBytes, out).ok() && out == ChunkOf(chunk);
  }
  std::filesystem::path PathOf(const store::LayerKey& key) const {
    return root_ / (key.layer.Hex() + "." + key.toc.Hex());
  }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "store");
  std::filesystem::path root_ = directory_.path() / "layers";
  FaultyFileSystem files_;
};

}  // namespace starling::testing_support
