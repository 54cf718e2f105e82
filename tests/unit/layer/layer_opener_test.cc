#include "layer/layer_opener.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <future>
#include <optional>
#include <random>

#include "base/executor.h"
#include "base/temp_dir.h"
#include "layer/toc_fetch.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/gzip_layer.h"
#include "tests/support/lazy_image.h"
#include "tests/support/memory_image.h"
#include "tests/support/tar_builder.h"
#include "tests/support/toc_image.h"
#include "tests/support/zstd_blob.h"

namespace starling::layer {
namespace {

using testing_support::LazyImage;
using testing_support::LazyLayerBlob;
using testing_support::TarBuilder;
using testing_support::ZstdDialect;
using testing_support::ZstdFile;
using testing_support::ZstdPart;

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

/// Reads `range`, fetching what is absent.
std::string ReadAll(LazyLayer& layer, DataRange range) {
  std::promise<StatusOr<Bytes>> promise;
  layer.Read(range, oci::FetchClass::kDemand,
             [&promise](StatusOr<Bytes> bytes) { promise.set_value(std::move(bytes)); });
  const StatusOr<Bytes> bytes = promise.get_future().get();
  return bytes.ok() ? std::string(AsText(*bytes)) : Describe(bytes.status());
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
  EXPECT_EQ(opened->tail, layer.blob) << "all of it came";
}

TEST_F(LayerOpenerTest, ALargeTocCostsASecondRequestForWhatTheTailLacks) {
  const LazyLayerBlob layer = Layer(TarOfManyFiles());
  const auto blob = image_.Add(layer);
  const auto opened = Open(layer);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ(blob->requests(), 1U);
  EXPECT_EQ(blob->ranges()[0].end(), layer.blob.size() - TailBytes(layer.blob.size()));
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

TEST_F(LayerOpenerTest, ReadsZstdOfEveryDialect) {
  const std::vector<ZstdFile> files = {
      {.name = "one", .parts = {{.content = std::string(10'000, '1')}}},
      {.name = "holey",
       .parts = {{.content = "begin"},
                 {.content = std::string(100'000, '\0'), .is_hole = true},
                 {.content = "end"}}},
      {.name = "hole", .parts = {{.content = std::string(5000, '\0'), .is_hole = true}}},
      {.name = "last", .parts = {{.content = "last"}}}};
  const struct {
    std::string_view name;
    ZstdDialect dialect;
    oci::TocDigestOf digest_of;
  } cases[] = {
      {"stargz", ZstdDialect::kStargz, oci::TocDigestOf::kJson},
      {"containers/storage, old", ZstdDialect::kOldContainers, oci::TocDigestOf::kCompressed},
      {"containers/storage", ZstdDialect::kContainers, oci::TocDigestOf::kCompressed},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const LazyLayerBlob layer = testing_support::MakeZstdLayer(files, c.dialect);
    const auto blob = image_.Add(layer);
    const int opened_before = image_.opened();
    auto opened = OpenLayer(image_, {.layer = layer.digest, .toc = layer.toc}, layer.blob.size(),
                            *layers_, counters_, {.digest_of = c.digest_of});
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(image_.opened(), opened_before + 1);
    EXPECT_EQ(blob->requests(), 0U) << "all of it was in the tail";
    EXPECT_EQ(opened->stored->info().chunk_count, 4U) << "a hole is no chunk";
    ThreadPool cpu("cpu", 1);
    const auto lazy = LazyLayer::Open(std::move(opened->stored), cpu, counters_);
    ASSERT_TRUE(lazy.ok()) << lazy.status();
    EXPECT_EQ((*lazy)->chunks().codec(), Codec::kZstd);
    (*lazy)->UseReader(std::move(opened->reader));
    for (const ZstdFile& file : files) {
      SCOPED_TRACE(file.name);
      const erofs::ImageReader& index = (*lazy)->index();
      const auto inode = index.Stat(*index.Lookup(index.root(), file.name));
      ASSERT_TRUE(inode.ok()) << inode.status();
      std::string want;
      for (const ZstdPart& part : file.parts) {
        want += part.content;
      }
      ASSERT_EQ(inode->size_bytes, want.size());
      const DataRange range{.data_address = inode->data_address, .size_bytes = want.size()};
      if (file.name == "one" || file.name == "hole") {  // the others come with the first
        EXPECT_EQ((*lazy)->IsPresent(range), file.name == "hole");
      }
      const size_t requests_before = blob->requests();
      EXPECT_EQ(ReadAll(**lazy, range), want);
      EXPECT_TRUE((*lazy)->IsPresent(range));
      EXPECT_EQ(blob->requests() - requests_before, file.name == "one" ? 1U : 0U)
          << "the first miss brings the neighbours";
    }
    (*lazy)->Close();
  }
}

TEST_F(LayerOpenerTest, RefusesZstdThatIsNotAsPromised) {
  const LazyLayerBlob stargz = testing_support::MakeZstdLayer(
      {{.name = "f", .parts = {{.content = "content"}}}}, ZstdDialect::kStargz);
  const LazyLayerBlob containers = testing_support::MakeZstdLayer(
      {{.name = "f", .parts = {{.content = "content"}}}}, ZstdDialect::kContainers);
  const struct {
    std::string_view name;
    const LazyLayerBlob& layer;
    oci::TocDigestOf digest_of;
    StatusCode want;
  } cases[] = {
      {"the JSON's digest", stargz, oci::TocDigestOf::kJson, StatusCode::kOk},
      {"the JSON's digest for the compressed TOC", stargz, oci::TocDigestOf::kCompressed,
       StatusCode::kDataLoss},
      {"the compressed TOC's digest", containers, oci::TocDigestOf::kCompressed, StatusCode::kOk},
      {"the compressed TOC's digest for the JSON", containers, oci::TocDigestOf::kJson,
       StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    image_.Add(c.layer);
    const auto opened = OpenLayer(image_, {.layer = c.layer.digest, .toc = c.layer.toc}, 0,
                                  *layers_, counters_, {.digest_of = c.digest_of});
    ASSERT_EQ(opened.status().code(), c.want) << opened.status();
    if (opened.ok()) {
      ASSERT_TRUE(layers_->Remove({.layer = c.layer.digest, .toc = c.layer.toc}).ok());
    }
  }
}

TEST_F(LayerOpenerTest, TakesTheTocOutOfAnotherImage) {
  LazyLayerBlob layer = Layer(SmallTar());
  const Bytes toc = testing_support::MoveTocOut(layer);
  image_.Add(layer);
  testing_support::MemoryImageSource tocs;
  testing_support::FillImageOfTocs(tocs, layer.digest, toc);
  int opened_images = 0;
  TocImage toc_image([&]() -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    ++opened_images;
    return std::shared_ptr<oci::ImageSource>(std::shared_ptr<void>(), &tocs);
  });
  const store::LayerKey key{.layer = layer.digest, .toc = layer.toc};
  EXPECT_EQ(OpenLayer(image_, key, 0, *layers_, counters_).status().code(),
            StatusCode::kFailedPrecondition)
      << "nobody said where the TOC is";
  const store::LayerKey other{.layer = layer.digest, .toc = oci::Digest::Of(AsBytes("other"))};
  EXPECT_EQ(
      OpenLayer(image_, other, 0, *layers_, counters_, {.toc_image = &toc_image}).status().code(),
      StatusCode::kDataLoss)
      << "nothing vouches for the image of TOCs but the layer's manifest";
  const auto opened = OpenLayer(image_, key, 0, *layers_, counters_, {.toc_image = &toc_image});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->stored->info().chunk_count, 4U);
  EXPECT_EQ(opened_images, 1) << "its manifest is asked for once";
  EXPECT_EQ(tocs.manifests_read(), 1);
}

TEST_F(LayerOpenerTest, AFullDiskIsAnError) {
  const LazyLayerBlob layer = Layer(SmallTar());
  image_.Add(layer);
  files_.set_free_bytes(100);
  EXPECT_EQ(Open(layer).status().code(), StatusCode::kResourceExhausted);
  files_.set_free_bytes(UINT64_MAX);
  EXPECT_TRUE(Open(layer).ok());
}

/// A plain gzip layer that is read from the points of its seek index.
class DescribedLayerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = testing_support::MakeGzipLayer(1);
    ASSERT_TRUE(made.ok()) << made.status();
    made_.emplace(*std::move(made));
    blob_ = std::make_shared<testing_support::MemoryBlob>(ToBytes(made_->blob));
    const auto stored = StoreDescribed(made_->index, *layers_);
    ASSERT_TRUE(stored.ok()) << stored.status();
    stored_ = *stored;
    auto layer =
        LazyLayer::Open(stored_, *cpu_, counters_,
                        {.neighbourhood_bytes = 0, .merge_gap_bytes = 0, .request_bytes = 1 << 20});
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
    layer_->UseReader(blob_);
  }
  void TearDown() override {
    if (layer_) {
      layer_->Close();
    }
  }

  /// Where the file's bytes are on the data device.
  DataRange File(std::string_view directory, std::string_view name) const {
    const erofs::ImageReader& index = layer_->index();
    const auto parent = index.Lookup(index.root(), directory);
    const auto nid = index.Lookup(*parent, name);
    const auto stat = index.Stat(*nid);
    return {.data_address = stat->data_address, .size_bytes = stat->size_bytes};
  }
  StatusOr<Bytes> Read(DataRange range) {
    std::promise<StatusOr<Bytes>> promise;
    layer_->Read(range, oci::FetchClass::kDemand,
                 [&promise](StatusOr<Bytes> bytes) { promise.set_value(std::move(bytes)); });
    return promise.get_future().get();
  }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "described");
  std::unique_ptr<store::LayerStore> layers_ =
      *store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
  std::optional<testing_support::GzipLayer> made_;
  std::shared_ptr<testing_support::MemoryBlob> blob_;
  FetchCounters counters_;
  std::optional<ThreadPool> cpu_{std::in_place, "cpu", 2};
  std::shared_ptr<store::StoredLayer> stored_;
  std::shared_ptr<LazyLayer> layer_;
};

TEST_F(DescribedLayerTest, AReadFetchesItsSpanAlone) {
  EXPECT_EQ(blob_->requests(), 0U) << "opening asks nobody";
  EXPECT_EQ(stored_->key(), KeyOf(made_->index));
  const std::string large = testing_support::CompressibleText(2 << 20, 1);
  const DataRange file = File("dir", "large");
  ASSERT_EQ(file.size_bytes, large.size());
  const auto bytes = Read({file.data_address + (1 << 20), 100});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), large.substr(1 << 20, 100));
  ASSERT_EQ(blob_->requests(), 1U);
  const oci::BlobRange range = blob_->ranges().front();
  const auto point = made_->index.seek_index().PointAt(range.blob_offset);
  ASSERT_TRUE(point);
  EXPECT_EQ(range.size_bytes, made_->index.seek_index().SpanAt(*point).blob_bytes);
  EXPECT_LT(range.size_bytes, made_->blob.size() / 10);
  // The rest of the span is held now.
  ASSERT_TRUE(Read({file.data_address + (1 << 20) + 100, 100}).ok());
  EXPECT_EQ(blob_->requests(), 1U);
}

TEST_F(DescribedLayerTest, EveryFileCanBeReadAndNoByteIsFetchedTwice) {
  const auto large = Read(File("dir", "large"));
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_TRUE(AsText(*large) == testing_support::CompressibleText(2 << 20, 1));
  const auto noise = Read(File("dir", "noise"));
  ASSERT_TRUE(noise.ok()) << noise.status();
  EXPECT_TRUE(AsText(*noise) == testing_support::Noise(300'000, 1));
  for (uint32_t i = 0; i < 50; ++i) {
    const auto small = Read(File("small", fmt::format("{}", i)));
    ASSERT_TRUE(small.ok()) << small.status();
    EXPECT_EQ(AsText(*small), testing_support::CompressibleText(99 * i, 1 + i));
  }
  EXPECT_TRUE(stored_->complete());
  uint64_t fetched_bytes = 0;
  for (const oci::BlobRange& range : blob_->ranges()) {
    fetched_bytes += range.size_bytes;
  }
  EXPECT_LE(fetched_bytes, made_->blob.size());
}

TEST_F(DescribedLayerTest, OtherBytesThanDescribedAreNotShown) {
  const DataRange file = File("dir", "large");
  blob_->DamageNext();
  EXPECT_TRUE(Read({file.data_address, 100}).ok()) << "asked once more";
  EXPECT_EQ(blob_->requests(), 2U);
  const auto& index = made_->index.seek_index();
  blob_->Spoil(index.SpanAt(index.points().size() / 2).blob_offset + 1000);
  EXPECT_EQ(Read(file).status().code(), StatusCode::kDataLoss);
  EXPECT_TRUE(Read({file.data_address, 100}).ok()) << "what is held stays";
}

TEST_F(DescribedLayerTest, IsTheSameAfterARestart) {
  const DataRange file = File("dir", "large");
  ASSERT_TRUE(Read({file.data_address, 100}).ok());
  layer_->Close();
  cpu_.reset();  // its last task may still hold the layer, and with it the store
  cpu_.emplace("cpu", 2);
  layer_.reset();
  stored_.reset();
  layers_.reset();
  layers_ = *store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
  const auto found = layers_->Find(KeyOf(made_->index));
  ASSERT_TRUE(found.ok()) << found.status();
  auto layer = LazyLayer::Open(*found, *cpu_, counters_);
  ASSERT_TRUE(layer.ok()) << layer.status();
  layer_ = *std::move(layer);
  layer_->UseReader(blob_);
  ASSERT_TRUE(Read({file.data_address, 100}).ok());
  EXPECT_EQ(blob_->requests(), 1U) << "held from before";
  const auto noise = Read(File("dir", "noise"));
  ASSERT_TRUE(noise.ok()) << noise.status();
  EXPECT_TRUE(AsText(*noise) == testing_support::Noise(300'000, 1));
}

TEST(ReadIndex, IsWhatOpeningStores) {
  const TempDir directory = *TempDir::Make(testing::TempDir(), "read-index-");
  const LazyLayerBlob layer = Layer(SmallTar());
  LazyImage image;
  (void)image.Add(layer);
  const auto index = ReadIndex(image, {.digest = layer.digest, .size_bytes = layer.blob.size()});
  ASSERT_TRUE(index.ok()) << index.status();
  auto layers = store::LayerStore::Open(directory.path() / "store", RealFileSystem());
  ASSERT_TRUE(layers.ok()) << layers.status();
  FetchCounters counters;
  const auto opened = OpenLayer(image, {.layer = layer.digest, .toc = layer.toc}, layer.blob.size(),
                                **layers, counters);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const ByteSpan stored = opened->stored->index();
  EXPECT_TRUE(std::ranges::equal(index->image, stored));
  EXPECT_EQ(ReadIndex(image, {.digest = oci::Digest::Of(AsBytes("none"))}).status().code(),
            StatusCode::kNotFound);
}

TEST(TailBytes, GrowWithTheLayer) {
  const struct {
    std::string_view name;
    uint64_t known_bytes;  // of the blob
    uint64_t want_bytes;
  } cases[] = {
      {.name = "nothing is known", .known_bytes = 0, .want_bytes = kTailBytes},
      {.name = "a large layer", .known_bytes = 6 << 20, .want_bytes = kTailBytes},
      {.name = "a smaller one", .known_bytes = 2 << 20, .want_bytes = 128 << 10},
      {.name = "a small one", .known_bytes = 300 << 10, .want_bytes = 64 << 10},
      {.name = "all of it", .known_bytes = kTailBytes, .want_bytes = kTailBytes},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(TailBytes(c.known_bytes), c.want_bytes);
  }
}

}  // namespace
}  // namespace starling::layer
