#include "layer/layer_opener.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "base/temp_dir.h"
#include "layer/toc_fetch.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/lazy_image.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using testing_support::LazyImage;
using testing_support::LazyLayerBlob;
using testing_support::TarBuilder;

std::string SmallTar() {
  return TarBuilder()
      .Add({.name = "d", .type = '5', .mode = 0755})
      .Add({.name = "d/second", .content = std::string(10000, '2')})
      .Add({.name = "first", .content = "1"})
      .Add({.name = "empty"})
      .Finish();
}

/// Two digests a file do not compress: the TOC is larger than the tail.
std::string TarOfManyFiles() {
  std::mt19937 generator(1);
  TarBuilder tar;
  for (int i = 0; i < 6000; ++i) {
    tar.Add({.name = std::to_string(i), .content = std::to_string(generator())});
  }
  return tar.Finish();
}

LazyLayerBlob Layer(const std::string& tar) {
  auto layer = testing_support::MakeLazyLayer(tar, 4096);
  EXPECT_TRUE(layer.ok()) << layer.status();
  return *std::move(layer);
}

class LayerOpenerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto layers = store::LayerStore::Open(directory_.path() / "store", files_);
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
  }
  StatusOr<OpenedLayer> Open(const LazyLayerBlob& layer) {
    return OpenLayer(image_, {.layer = layer.digest, .toc = layer.toc}, layer.blob.size(), *layers_,
                     counters_);
  }

  TempDir directory_ = *TempDir::Make("/tmp", "layer-opener-");
  testing_support::FaultyFileSystem files_;
  LazyImage image_;
  std::unique_ptr<store::LayerStore> layers_;
  FetchCounters counters_;
};

TEST_F(LayerOpenerTest, ASmallLayerCostsOneRequest) {
  const LazyLayerBlob layer = Layer(SmallTar());
  const auto blob = image_.Add(layer);
  const auto opened = Open(layer);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(image_.opened(), 1);
  EXPECT_EQ(blob->requests(), 0U);
  EXPECT_EQ(counters_.requests, 1U);
  EXPECT_EQ(counters_.bytes, layer.blob.size());
  EXPECT_EQ(opened->stored->info().chunk_count, 4U) << "10,000 bytes in three chunks, and one";
}

TEST_F(LayerOpenerTest, ALargeTocCostsASecondRequestForWhatTheTailLacks) {
  const LazyLayerBlob layer = Layer(TarOfManyFiles());
  const auto blob = image_.Add(layer);
  const auto opened = Open(layer);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ(blob->requests(), 1U);
  EXPECT_EQ(blob->ranges()[0].end(), layer.blob.size() - kTailBytes);
  EXPECT_EQ(counters_.requests, 2U);
  EXPECT_EQ(opened->stored->info().chunk_count, 6000U);
}

TEST_F(LayerOpenerTest, LaysFilesOutInTheOrderOfTheBlob) {
  const LazyLayerBlob layer = Layer(SmallTar());
  image_.Add(layer);
  const auto opened = Open(layer);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const auto index = erofs::ImageReader::Open(opened->stored->index());
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(opened->stored->chunk_table());
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->data_size_bytes(), 12288U + 4096U);
  EXPECT_TRUE(table->no_prefetch());
  EXPECT_FALSE(table->has_xattrs());
  uint64_t blob_offset = 0;
  for (const ChunkRecord& chunk : table->chunks()) {
    EXPECT_GE(table->members()[chunk.member].blob_offset, blob_offset);
    blob_offset = table->members()[chunk.member].blob_offset;
  }
  const auto first = index->Lookup(index->root(), "first");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto attributes = index->Stat(*first);
  ASSERT_TRUE(attributes.ok());
  EXPECT_EQ(attributes->data_address, 12288U) << "behind d/second, on a block of its own";
  EXPECT_EQ(attributes->size_bytes, 1U);
  EXPECT_EQ(attributes->mode, S_IFREG | 0644U);
}

TEST_F(LayerOpenerTest, RefusesWhatItCannotVerifyOrHold) {
  const LazyLayerBlob layer = Layer(SmallTar());
  LazyLayerBlob other_toc = layer;
  other_toc.toc = oci::Digest::Of(AsBytes("another"));
  LazyLayerBlob plain = layer;
  plain.blob = ToBytes(std::string(5000, 'x'));
  plain.digest = oci::Digest::Of(plain.blob);
  LazyLayerBlob truncated = layer;
  truncated.blob.resize(truncated.blob.size() - 100);
  truncated.digest = oci::Digest::Of(truncated.blob);
  LazyLayerBlob damaged = layer;
  damaged.blob[damaged.blob.size() - 200] ^= std::byte{0xff};
  damaged.digest = oci::Digest::Of(damaged.blob);
  const struct {
    std::string_view name;
    const LazyLayerBlob& layer;
    StatusCode want;
  } cases[] = {
      {"another TOC than promised", other_toc, StatusCode::kDataLoss},
      {"an ordinary layer", plain, StatusCode::kNotFound},
      {"cut off", truncated, StatusCode::kNotFound},
      {"a damaged TOC", damaged, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    image_.Add(c.layer);
    const auto opened = Open(c.layer);
    EXPECT_EQ(opened.status().code(), c.want) << opened.status();
    EXPECT_NE(MessageOf(opened.status()).find(c.layer.digest.ToString()), std::string_view::npos);
  }
  const auto listed = layers_->List();
  ASSERT_TRUE(listed.ok());
  EXPECT_TRUE(listed->empty()) << "nothing is kept of them";
}

TEST_F(LayerOpenerTest, AFullDiskIsAnError) {
  const LazyLayerBlob layer = Layer(SmallTar());
  image_.Add(layer);
  files_.set_free_bytes(100);
  EXPECT_EQ(Open(layer).status().code(), StatusCode::kResourceExhausted);
  files_.set_free_bytes(UINT64_MAX);
  EXPECT_TRUE(Open(layer).ok());
}

}  // namespace
}  // namespace starling::layer
