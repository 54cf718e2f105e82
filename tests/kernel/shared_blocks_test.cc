// Chunks that layers share, on a file system that shares blocks.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <random>

#include "base/temp_dir.h"
#include "store/layer_store.h"
#include "tests/support/file_tree.h"
#include "tests/support/private_mounts.h"

namespace starling::store {
namespace {

using testing_support::Shell;

constexpr uint64_t kChunks = 32;
constexpr uint64_t kChunkBytes = (1 << 20) + 100;
constexpr uint64_t kStride = (1 << 20) + 4096;

class SharedBlocksTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    if (!testing_support::KernelKnowsFileSystem("xfs")) {
      GTEST_SKIP() << "this kernel has no xfs";
    }
    const auto root = directory_.path();
    Shell(
        fmt::format("truncate -s 400M {0}/disk; mkfs.xfs -q -m reflink=1 {0}/disk; mkdir {0}/mnt; "
                    "mount -o loop {0}/disk {0}/mnt",
                    root.native()));
    auto layers = LayerStore::Open(root / "mnt/store", RealFileSystem());
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
  }
  void TearDown() override {
    layers_.reset();
    if (std::filesystem::exists(directory_.path() / "mnt")) {
      Shell(fmt::format("umount {}/mnt", directory_.path().native()));
    }
  }

  std::shared_ptr<StoredLayer> Create(std::string_view name) {
    auto layer = layers_->Create(
        {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))},
        {.blob_size_bytes = 1, .data_size_bytes = kChunks * kStride, .chunk_count = kChunks},
        AsBytes("index"), AsBytes("table"));
    EXPECT_TRUE(layer.ok()) << layer.status();
    return layer.ok() ? *std::move(layer) : nullptr;
  }
  static Bytes ChunkOf(uint64_t chunk) {
    std::mt19937 generator(static_cast<uint32_t>(chunk));
    Bytes bytes(kChunkBytes);
    for (std::byte& byte : bytes) {
      byte = static_cast<std::byte>(generator());
    }
    return bytes;
  }
  uint64_t FreeBytes() const {
    Shell(fmt::format("sync -f {}/mnt", directory_.path().native()));
    struct statvfs space{};
    EXPECT_EQ(::statvfs((directory_.path() / "mnt").c_str(), &space), 0);
    return space.f_bfree * space.f_frsize;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "shared-blocks-");
  std::unique_ptr<LayerStore> layers_;
};

TEST_F(SharedBlocksTest, WhatTwoLayersHaveInCommonIsStoredOnce) {
  const auto donor = Create("donor");
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    const Bytes bytes = ChunkOf(chunk);
    ASSERT_TRUE(donor->Put(chunk, chunk * kStride, bytes, oci::Digest::Of(bytes)).ok());
  }
  const auto layer = Create("layer");
  const uint64_t before = FreeBytes();
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    const uint64_t other = kChunks - 1 - chunk;
    const Status status =
        layer->PutShared(chunk, chunk * kStride, kChunkBytes, oci::Digest::Of(ChunkOf(other)),
                         {.layer = *donor, .chunk = other, .data_address = other * kStride});
    ASSERT_TRUE(status.ok()) << status;
  }
  // Of each chunk the last, incomplete block is copied; and there is some metadata.
  EXPECT_LT(before - FreeBytes(), 2 << 20);
  EXPECT_TRUE(layer->complete());
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    Bytes read(kChunkBytes);
    ASSERT_TRUE(layer->Read(chunk * kStride, read).ok());
    EXPECT_EQ(read, ChunkOf(kChunks - 1 - chunk));
  }
}

}  // namespace
}  // namespace starling::store
