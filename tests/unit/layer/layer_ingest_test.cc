#include "layer/layer_ingest.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <future>
#include <list>
#include <thread>

#include "base/temp_dir.h"
#include "estargz/gzip_layer_index.h"
#include "layer/eviction.h"
#include "layer/layer_opener.h"
#include "layer/toc_fetch.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"
#include "tests/support/lazy_image.h"
#include "tests/support/tar_builder.h"
#include "tests/support/zstd_blob.h"

namespace starling::layer {
namespace {

using testing_support::Gzip;
using testing_support::LazyImage;
using testing_support::LazyLayerBlob;
using testing_support::MemoryBlob;
using testing_support::Noise;
using testing_support::TarBuilder;
using testing_support::TarDialect;
using testing_support::Zstd;

/// Does not compress, so that a blob has several ranges.
std::string TarOfEverything() {
  return TarBuilder()
      .Add({.name = "./", .type = '5', .mode = 0755})
      .Add({.name = "d", .type = '5', .mode = 01777, .uid = 5, .modified_seconds = 77})
      .Add({.name = "replaced", .content = Noise(9000, 1)})
      .Add({.name = "d/large", .content = Noise(9'000'000, 2)})
      .Add({.name = "d/suid", .content = std::string(4096, 's'), .mode = 04755})
      .Add({.name = "empty"})
      .Add({.name = "replaced", .content = "the later one"})
      .Add({.name = "hard", .type = '1', .link_name = "d/large"})
      .Add({.name = "soft", .type = '2', .link_name = "../x"})
      .Add({.name = "null", .type = '3', .device_major = 1, .device_minor = 3})
      .Add({.name = "pipe", .type = '6'})
      .Add({.name = "d/.wh.gone"})
      .Add({.name = "opaque/.wh..wh..opq"})
      .Add({.name = "tagged",
            .content = "x",
            .pax = {{"SCHILY.xattr.user.color", "red"}, {"path", "implied/parent/tagged"}}})
      .Add({.name = "was-a-file", .content = "gone with it"})
      .Add({.name = "was-a-file", .type = '5', .mode = 0700})
      .Add({.name = "was-a-file/inside", .content = std::string(5000, 'i')})
      .Finish();
}

LazyLayerBlob Plain(const std::string& blob) {
  const oci::Digest digest = oci::Digest::Of(AsBytes(blob));
  return {.blob = ToBytes(blob), .digest = digest, .toc = digest};
}

/// Every path of a layer with all that can be seen of it, its content read through the engine.
class Listing {
 public:
  Listing(std::shared_ptr<store::StoredLayer> stored, FetchCounters& counters,
          std::shared_ptr<oci::BlobReader> reader)
      : pool_("read", 1) {
    auto layer = LazyLayer::Open(std::move(stored), pool_, counters);
    EXPECT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
    if (reader) {
      layer_->UseReader(std::move(reader));
    }
    Walk(layer_->index().root(), "");
    layer_->Close();
  }
  const std::map<std::string, std::string>& entries() const { return entries_; }

 private:
  void Walk(erofs::Nid nid, const std::string& path) {
    const erofs::ImageReader& index = layer_->index();
    const erofs::Attributes a = *index.Stat(nid);
    std::string& entry = entries_[path];
    entry = fmt::format("{:o} {}:{} n{} {} t{} {}:{}", a.mode, a.uid, a.gid, a.nlink,
                        S_ISDIR(a.mode) ? 0 : a.size_bytes, a.modified_seconds, a.device_major,
                        a.device_minor);
    const std::vector<std::string> names = *index.ListXattrs(nid);
    for (const std::string& name : names) {
      entry += fmt::format(" {}={}", name, AsText(*index.GetXattr(nid, name)));
    }
    if (S_ISLNK(a.mode)) {
      entry += fmt::format(" -> {}", *index.ReadLink(nid));
    } else if (S_ISREG(a.mode) && a.size_bytes > 0) {
      entry += " " + oci::Digest::Of(Content(a)).Hex();
    } else if (S_ISDIR(a.mode)) {
      std::vector<std::pair<std::string, erofs::Nid>> children;
      EXPECT_TRUE(index
                      .ReadDirectory(nid, 0,
                                     [&](const erofs::ImageReader::DirectoryEntry& child) {
                                       if (child.name != "." && child.name != "..") {
                                         children.emplace_back(child.name, child.nid);
                                       }
                                       return true;
                                     })
                      .ok());
      for (const auto& [name, child] : children) {
        Walk(child, fmt::format("{}/{}", path, name));
      }
    }
  }
  Bytes Content(const erofs::Attributes& file) {
    std::promise<StatusOr<Bytes>> promise;
    layer_->Read({.data_address = file.data_address, .size_bytes = file.size_bytes},
                 oci::FetchClass::kDemand,
                 [&promise](StatusOr<Bytes> bytes) { promise.set_value(std::move(bytes)); });
    StatusOr<Bytes> bytes = promise.get_future().get();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? *std::move(bytes) : Bytes();
  }

  ThreadPool pool_;
  std::shared_ptr<LazyLayer> layer_;
  std::map<std::string, std::string> entries_;
};

class LayerIngestTest : public testing::Test {
 protected:
  static constexpr uint64_t kRangeBytes = 1 << 20;

  void SetUp() override {
    auto layers = store::LayerStore::Open(directory_.path() / "store", files_);
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
  }
  std::shared_ptr<LayerIngest> Make(uint64_t max_data_bytes = UINT64_MAX) {
    return std::make_shared<LayerIngest>(
        LayerIngest::Dependencies{.layers = *layers_,
                                  .cpu = cpu_,
                                  .counters = counters_,
                                  .scheduler = nullptr,
                                  .keep_description = keep_description_,
                                  .make_room = make_room_},
        LayerIngest::Options{.ranges = {.range_bytes = kRangeBytes, .ranges_in_flight = 3},
                             .max_data_bytes = max_data_bytes});
  }
  StatusOr<std::shared_ptr<store::StoredLayer>> Ingest(const LazyLayerBlob& layer,
                                                       uint64_t max_data_bytes = UINT64_MAX) {
    const auto ingest = Make(max_data_bytes);
    RETURN_IF_ERROR(ingest->Run(image_, "host", layer.digest, 0));
    return ingest->Commit();
  }
  void ExpectEmptyStore() {
    EXPECT_TRUE(layers_->List()->empty());
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "store")) {
      EXPECT_FALSE(entry.is_directory()) << entry.path();
    }
  }

  TempDir directory_ = *TempDir::Make("/tmp", "layer-ingest-");
  testing_support::FaultyFileSystem files_;
  LazyImage image_;
  std::unique_ptr<store::LayerStore> layers_;
  FetchCounters counters_;
  ThreadPool cpu_{"cpu", 2};
  std::function<void(estargz::GzipLayerIndex::Parts)> keep_description_;
  std::function<bool(uint64_t)> make_room_;
};

TEST_F(LayerIngestTest, ShowsWhatTheSameTarShowsLazily) {
  const std::string tar = TarOfEverything();
  const auto lazy = testing_support::MakeLazyLayer(tar, 64 << 10);
  ASSERT_TRUE(lazy.ok()) << lazy.status();
  const auto lazy_blob = image_.Add(*lazy);
  const auto opened =
      OpenLayer(image_, {.layer = lazy->digest, .toc = lazy->toc}, 0, *layers_, counters_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Listing want(opened->stored, counters_, lazy_blob);
  ASSERT_TRUE(want.entries().contains("/implied/parent/tagged"));
  const struct {
    std::string_view name;
    std::string blob;
  } cases[] = {
      {.name = "tar", .blob = tar},
      {.name = "gzip", .blob = Gzip(tar)},
      {.name = "gzip members", .blob = Gzip(tar.substr(0, 700'000)) + Gzip(tar.substr(700'000))},
      {.name = "zstd", .blob = Zstd(tar)},
      {.name = "bytes behind the tar", .blob = Gzip(tar + std::string(100'000, '\0'))},
      {.name = "eStargz", .blob = std::string(AsText(lazy->blob))},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const LazyLayerBlob layer = Plain(c.blob);
    const auto blob = image_.Add(layer);
    const uint64_t requests_before = counters_.requests;
    const uint64_t bytes_before = counters_.bytes;
    const auto stored = Ingest(layer);
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ((*stored)->key(), (store::LayerKey{.layer = layer.digest, .toc = layer.digest}));
    EXPECT_TRUE((*stored)->complete());
    // One pass: the tail with the size, then each range once.
    EXPECT_EQ(counters_.bytes - bytes_before, layer.blob.size());
    const uint64_t ranges = (layer.blob.size() - kTailBytes + kRangeBytes - 1) / kRangeBytes;
    EXPECT_EQ(blob->requests(), ranges);
    EXPECT_EQ(counters_.requests - requests_before, ranges + 1);
    const Listing got(*stored, counters_, nullptr);
    EXPECT_EQ(got.entries(), want.entries());
    EXPECT_EQ(counters_.bytes - bytes_before, layer.blob.size()) << "nothing is fetched again";
  }
}

TEST_F(LayerIngestTest, DescribesAGzipLayerOnTheWay) {
  const std::string tar = TarOfEverything();
  const struct {
    std::string_view name;
    std::string blob;
    bool is_described;
  } cases[] = {
      {"gzip", Gzip(tar), true},
      {"gzip members", Gzip(tar.substr(0, 700'000)) + Gzip(tar.substr(700'000)), true},
      {"padding", Gzip(tar) + std::string(5000, '\0'), true},
      {"small", Gzip(TarBuilder().Add({.name = "f", .content = "hello"}).Finish()), true},
      {"tar", tar, false},
      {"zstd", Zstd(tar), false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    keep_description_ = nullptr;
    const LazyLayerBlob layer = Plain(c.blob);
    const auto blob = image_.Add(layer);
    const auto without = Ingest(layer);
    ASSERT_TRUE(without.ok()) << without.status();
    const std::map<std::string, std::string> want = Listing(*without, counters_, nullptr).entries();
    ASSERT_TRUE(layers_->Remove((*without)->key()).ok());
    std::vector<estargz::GzipLayerIndex::Parts> parts;
    keep_description_ = [&parts](auto made) { parts.push_back(std::move(made)); };
    const uint64_t bytes_before = counters_.bytes;
    const auto ingest = Make();
    ASSERT_TRUE(ingest->Run(image_, "host", layer.digest, 0).ok());
    EXPECT_TRUE(parts.empty()) << "it is not in the store yet";
    const auto stored = ingest->Commit();
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(counters_.bytes - bytes_before, layer.blob.size()) << "each byte came once";
    EXPECT_EQ(Listing(*stored, counters_, nullptr).entries(), want);
    ASSERT_EQ(parts.size(), c.is_described ? 1U : 0U);
    if (!c.is_described) {
      continue;
    }
    const auto description = estargz::GzipLayerIndex::Make(parts.front());
    ASSERT_TRUE(description.ok()) << description.status();
    SpanSource again(AsBytes(c.blob));
    const auto created = estargz::IndexGzipLayer(again, layer.digest);
    ASSERT_TRUE(created.ok()) << created.status();
    EXPECT_EQ(description->digest(), created->digest()) << "as `starling index create` makes it";
    const auto lazy = StoreDescribed(*description, *layers_);
    ASSERT_TRUE(lazy.ok()) << lazy.status();
    EXPECT_EQ(Listing(*lazy, counters_, blob).entries(), want);
  }
}

TEST_F(LayerIngestTest, DescribesNothingThatIsNotTheLayer) {
  LazyLayerBlob layer = Plain(Gzip(TarOfEverything()));
  layer.digest = oci::Digest::Of(AsBytes("another"));
  image_.Add(layer);
  int described = 0;
  keep_description_ = [&described](const auto&) { ++described; };
  EXPECT_EQ(Ingest(layer).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(described, 0);
}

TEST_F(LayerIngestTest, ASmallLayerCostsOneRequest) {
  const LazyLayerBlob layer =
      Plain(Gzip(TarBuilder().Add({.name = "f", .content = "hello"}).Finish()));
  const auto blob = image_.Add(layer);
  ASSERT_TRUE(Ingest(layer).ok());
  EXPECT_EQ(blob->requests(), 0U);
  EXPECT_EQ(counters_.requests, 1U);
  EXPECT_EQ(counters_.bytes, layer.blob.size());
}

TEST_F(LayerIngestTest, TakesManySmallFilesAndEmptyOnes) {
  TarBuilder tar;
  for (int i = 0; i < 20'000; ++i) {
    tar.Add({.name = fmt::format("empty-{}", i)});
  }
  for (int i = 0; i < 3000; ++i) {
    tar.Add({.name = fmt::format("small-{}", i), .content = std::to_string(i)});
  }
  const LazyLayerBlob layer = Plain(Zstd(tar.Finish()));
  image_.Add(layer);
  const auto stored = Ingest(layer);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ((*stored)->info().chunk_count, 3000U);
  const auto index = erofs::ImageReader::Open((*stored)->index());
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(index->inode_count(), 23'001U);
  Bytes content(4);
  ASSERT_TRUE((*stored)->Read(2999U * 4096, content).ok());
  EXPECT_EQ(AsText(content), "2999");
}

TEST_F(LayerIngestTest, RefusesWhatIsNotTheLayerOrNoTar) {
  const std::string tar = TarOfEverything();
  const std::string zipped = Gzip(tar);
  std::string flipped = zipped;
  flipped[flipped.size() / 2] ^= 1;
  LazyLayerBlob wrong_digest = Plain(zipped);
  wrong_digest.digest = oci::Digest::Of(AsBytes("another"));
  const std::string cut_header = tar.substr(0, 512 * 3 + 100);
  const std::string sparse =
      TarBuilder(TarDialect::kGnu).Add({.name = "holes", .type = 'S', .content = "x"}).Finish();
  const std::string long_name =
      TarBuilder().Add({.name = "n", .pax = {{"path", std::string(300, 'n')}}}).Finish();
  const struct {
    std::string_view name;
    LazyLayerBlob layer;
    StatusCode want;
  } cases[] = {
      {"another digest", wrong_digest, StatusCode::kDataLoss},
      {"a truncated stream", Plain(zipped.substr(0, zipped.size() / 2)), StatusCode::kDataLoss},
      {"a damaged stream", Plain(flipped), StatusCode::kDataLoss},
      {"a truncated tar", Plain(Gzip(cut_header)), StatusCode::kDataLoss},
      {"no tar", Plain(Gzip(Noise(100'000, 3))), StatusCode::kDataLoss},
      {"bzip2", Plain("BZh91AY&SY" + Noise(1000, 4)), StatusCode::kUnimplemented},
      {"a sparse file", Plain(Gzip(sparse)), StatusCode::kUnimplemented},
      {"a component of 300 bytes", Plain(Gzip(long_name)), StatusCode::kResourceExhausted},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    image_.Add(c.layer);
    const auto stored = Ingest(c.layer);
    EXPECT_EQ(stored.status().code(), c.want) << stored.status();
    EXPECT_NE(MessageOf(stored.status()).find(c.layer.digest.ToString()), std::string_view::npos);
    ExpectEmptyStore();
  }
}

TEST_F(LayerIngestTest, TakesNoMoreThanTheDiskHasToSpare) {
  const LazyLayerBlob bomb = Plain(
      Gzip(TarBuilder().Add({.name = "zeros", .content = std::string(30 << 20, '\0')}).Finish()));
  ASSERT_LT(bomb.blob.size(), 100'000U);
  image_.Add(bomb);
  EXPECT_EQ(Ingest(bomb, 10 << 20).status().code(), StatusCode::kResourceExhausted);
  ExpectEmptyStore();
  files_.set_free_bytes(10 << 20);
  EXPECT_EQ(Ingest(bomb).status().code(), StatusCode::kResourceExhausted);
  ExpectEmptyStore();
}

TEST_F(LayerIngestTest, PassesOnWhatTheSourceSays) {
  const LazyLayerBlob layer = Plain(Gzip(TarOfEverything()));
  EXPECT_EQ(Ingest(layer).status().code(), StatusCode::kNotFound);
  const auto blob = image_.Add(layer);
  blob->FailNext(OkStatus());
  blob->FailNext(MakeError(StatusCode::kUnavailable, "the registry is away"));
  EXPECT_EQ(Ingest(layer).status().code(), StatusCode::kUnavailable);
  ExpectEmptyStore();
  EXPECT_TRUE(Ingest(layer).ok()) << "another try";
}

TEST_F(LayerIngestTest, LeavesLazyFormatsAloneWhenTold) {
  const auto lazy = testing_support::MakeLazyLayer(TarOfEverything(), 64 << 10);
  ASSERT_TRUE(lazy.ok()) << lazy.status();
  const auto blob = image_.Add(*lazy);
  EXPECT_EQ(Make()->Run(image_, "host", lazy->digest, 0, LayerIngest::Formats::kPlainOnly).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(blob->requests(), 0U) << "the tail says it";
}

TEST_F(LayerIngestTest, CancelEndsIt) {
  const LazyLayerBlob layer = Plain(Gzip(TarOfEverything()));
  const auto blob = image_.Add(layer);
  blob->Hold();
  const auto ingest = Make();
  auto running =
      std::async(std::launch::async, [&] { return ingest->Run(image_, "host", layer.digest, 0); });
  while (blob->requests() < 3) {
    std::this_thread::yield();
  }
  ingest->Cancel();
  EXPECT_EQ(running.get().code(), StatusCode::kCancelled);
  ExpectEmptyStore();
  EXPECT_EQ(ingest->Run(image_, "host", layer.digest, 0).code(), StatusCode::kCancelled)
      << "for good";
  blob->Release();
}

TEST_F(LayerIngestTest, WithoutCommitNothingStays) {
  const LazyLayerBlob layer = Plain(Gzip(TarOfEverything()));
  image_.Add(layer);
  {
    const auto ingest = Make();
    ASSERT_TRUE(ingest->Run(image_, "host", layer.digest, 0).ok());
    EXPECT_TRUE(layers_->List()->empty());
  }
  ExpectEmptyStore();
}

/// Layers that were fetched as a whole, and are again when they have lost something.
class WholeLayersTest : public LayerIngestTest {
 protected:
  struct Whole {
    std::shared_ptr<store::StoredLayer> stored;
    ChunkTable table;
    std::shared_ptr<LazyLayer> lazy;
    int refetches = 0;
    Status answer;  // in the place of a fetch

    void Lose(uint32_t chunk) const { stored->Distrust(chunk, table.chunks()[chunk].size_bytes); }
  };

  void TearDown() override {
    for (Whole& layer : opened_) {
      layer.lazy->Close();
    }
  }
  Whole& Open(const LazyLayerBlob& blob) {
    image_.Add(blob);
    const auto stored = Ingest(blob);
    EXPECT_TRUE(stored.ok()) << stored.status();
    Whole& layer =
        opened_.emplace_back(Whole{.stored = *stored,
                                   .table = *ChunkTable::Open((*stored)->chunk_table()),
                                   .lazy = *LazyLayer::Open(*stored, reading_, counters_),
                                   .answer = {}});
    layer.lazy->RefetchBy([this, &layer](auto spill, auto done) {
      ++layer.refetches;
      fetching_.Post([this, &layer, spill, done] {
        done(layer.answer.ok() ? Make()->Restore(image_, "host", *layer.stored, spill)
                               : layer.answer);
      });
    });
    layer.lazy->NoteFetchedWhole();
    return layer;
  }
  static StatusOr<Bytes> Read(const Whole& layer, uint32_t chunk) {
    const DataRange range = layer.table.chunks()[chunk].range();
    Bytes held(range.size_bytes);
    if (const auto read = layer.lazy->ReadPresent(range.data_address, held); !read.ok() || *read) {
      return read.ok() ? StatusOr<Bytes>(std::move(held)) : read.status();
    }
    std::promise<StatusOr<Bytes>> bytes;
    layer.lazy->Read(range, oci::FetchClass::kDemand,
                     [&](StatusOr<Bytes> result) { bytes.set_value(std::move(result)); });
    return bytes.get_future().get();
  }
  static void ExpectRight(const Whole& layer, uint32_t chunk) {
    const auto bytes = Read(layer, chunk);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(oci::Digest::Of(*bytes), oci::Digest(layer.table.chunks()[chunk].digest));
  }
  uint64_t MakeRoom(uint64_t wanted_bytes) {
    std::vector<std::shared_ptr<LazyLayer>> layers;
    for (const Whole& layer : opened_) {
      layers.push_back(layer.lazy);
    }
    return layer::MakeRoom(layers, wanted_bytes);
  }

  ThreadPool reading_{"read", 1};
  ThreadPool fetching_{"fetch", 1};
  std::list<Whole> opened_;
};

LazyLayerBlob PlainOfTwoFiles(uint32_t seed) {
  return Plain(Gzip(TarBuilder()
                        .Add({.name = "f", .content = Noise(6'000'000, seed)})
                        .Add({.name = "g", .content = "behind what lies between files"})
                        .Finish()));
}

TEST_F(WholeLayersTest, ALayerThatHasLostChunksGetsThoseBack) {
  Whole& layer = Open(Plain(Gzip(TarOfEverything())));
  const uint64_t held_bytes = layer.stored->present_bytes();
  layer.Lose(0);
  layer.Lose(2);
  ExpectRight(layer, 0);
  ExpectRight(layer, 2);
  EXPECT_EQ(layer.refetches, 1) << "all that is missing comes at once";
  EXPECT_TRUE(layer.stored->complete());
  EXPECT_EQ(layer.stored->present_bytes(), held_bytes);
  // What cannot be had is an error, and not asked for by every read.
  layer.answer = MakeError(StatusCode::kDataLoss, "it is another blob");
  layer.Lose(1);
  EXPECT_EQ(Read(layer, 1).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Read(layer, 1).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(layer.refetches, 2);
  ExpectRight(layer, 0);
}

TEST_F(WholeLayersTest, AreEvictedAsAWholeInOrder) {
  Whole& old = Open(PlainOfTwoFiles(1));
  Whole& read = Open(PlainOfTwoFiles(2));
  Whole& recent = Open(PlainOfTwoFiles(3));
  const uint64_t size_bytes = 6'000'030;
  EXPECT_EQ(old.stored->present_bytes(), size_bytes);
  ExpectRight(read, 0);
  EXPECT_EQ(MakeRoom(1), size_bytes) << "all of it, because all of it is fetched again";
  EXPECT_EQ(old.stored->present_bytes(), 0U) << "it came first, and nobody has read it";
  ExpectRight(read, 0);
  EXPECT_EQ(MakeRoom(1), size_bytes);
  EXPECT_EQ(recent.stored->present_bytes(), 0U) << "nobody has read it";
  ExpectRight(read, 0);
  EXPECT_EQ(MakeRoom(UINT64_MAX), size_bytes) << "there is no more";
  for (Whole* layer : {&old, &read, &recent}) {
    for (uint32_t chunk = 0; chunk < layer->table.chunks().size(); ++chunk) {
      ExpectRight(*layer, chunk);
    }
    EXPECT_EQ(layer->refetches, 1);
    EXPECT_TRUE(layer->stored->complete());
  }
}

TEST_F(WholeLayersTest, StayWhereTheKernelReadsThemOrNobodyCouldFetchThem) {
  Whole& used = Open(PlainOfTwoFiles(1));
  EXPECT_TRUE(used.stored->PinIfComplete());
  Whole& lost = Open(PlainOfTwoFiles(2));
  lost.lazy->RefetchBy(nullptr);
  EXPECT_EQ(MakeRoom(UINT64_MAX), 0U);
  EXPECT_TRUE(used.stored->complete());
  EXPECT_TRUE(lost.stored->complete());
}

TEST_F(WholeLayersTest, WhatIsOnItsWayBackStays) {
  Whole& layer = Open(PlainOfTwoFiles(1));
  EXPECT_GT(MakeRoom(1), 0U);
  std::promise<void> begun;
  std::promise<void> goes_on;
  layer.lazy->RefetchBy([&](auto spill, auto done) {
    fetching_.Post([&, spill, done] {
      const Status status = Make()->Restore(image_, "host", *layer.stored, spill);
      begun.set_value();
      goes_on.get_future().wait();
      done(status);
    });
  });
  auto reading = std::async(std::launch::async, [&] { ExpectRight(layer, 0); });
  begun.get_future().wait();
  EXPECT_EQ(MakeRoom(UINT64_MAX), 0U);
  goes_on.set_value();
  reading.get();
  EXPECT_TRUE(layer.stored->complete());
}

TEST_F(WholeLayersTest, ComeBackWhereverTheirChunksEnd) {
  std::vector<estargz::GzipLayerIndex::Parts> kept;
  const auto keep = [&](auto parts) { kept.push_back(std::move(parts)); };
  const struct {
    std::string_view name;
    bool kept_then = false;
    bool kept_now = false;
    int fetches = 1;
  } cases[] = {
      {.name = "seek indexes are kept", .kept_then = true, .kept_now = true},
      {.name = "they are not"},
      {.name = "they are not any more", .kept_then = true, .fetches = 2},
      {.name = "they are by now", .kept_now = true, .fetches = 2},
  };
  uint32_t seed = 0;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    keep_description_ = c.kept_then ? keep : decltype(keep_description_)();
    const LazyLayerBlob blob = PlainOfTwoFiles(++seed);
    Whole& layer = Open(blob);
    MakeRoom(UINT64_MAX);
    keep_description_ = c.kept_now ? keep : decltype(keep_description_)();
    kept.clear();
    const uint64_t before = counters_.bytes;
    ExpectRight(layer, 0);
    EXPECT_TRUE(layer.stored->complete());
    EXPECT_EQ(counters_.bytes - before, c.fetches * blob.blob.size());
    EXPECT_EQ(kept.size(), c.kept_now ? 1U : 0U);
  }
}

TEST_F(WholeLayersTest, AnotherBlobIsNone) {
  Whole& layer = Open(PlainOfTwoFiles(1));
  MakeRoom(1);
  const LazyLayerBlob other = PlainOfTwoFiles(2);
  image_.Add({.blob = other.blob, .digest = layer.stored->key().layer, .toc = other.toc});
  EXPECT_EQ(Read(layer, 0).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(layer.stored->present_bytes(), 0U);
}

TEST_F(WholeLayersTest, WhatTheDiskDoesNotTakeComesThroughMemory) {
  Whole& layer = Open(PlainOfTwoFiles(1));
  MakeRoom(1);
  files_.set_hook([](const testing_support::FaultyFileSystem::Call& call) {
    return call.operation == testing_support::FaultyFileSystem::Operation::kWrite
               ? MakeError(StatusCode::kResourceExhausted, "full")
               : OkStatus();
  });
  ExpectRight(layer, 0);
  ExpectRight(layer, 0);
  EXPECT_EQ(layer.refetches, 1) << "it is kept for a while";
  ExpectRight(layer, 1);
  EXPECT_EQ(layer.stored->present_bytes(), 0U);
  files_.set_hook(nullptr);
  layer.Lose(1);
  ExpectRight(layer, static_cast<uint32_t>(layer.table.chunks().size() - 1));
}

TEST_F(WholeLayersTest, RoomIsMadeForThem) {
  layers_.reset();
  const LazyLayerBlob one = PlainOfTwoFiles(1);
  const LazyLayerBlob two = PlainOfTwoFiles(2);
  constexpr uint64_t kCap = 10'000'000;
  auto layers = store::LayerStore::Open(directory_.path() / "store", files_, {.max_bytes = kCap});
  ASSERT_TRUE(layers.ok()) << layers.status();
  layers_ = *std::move(layers);
  image_.Add(two);
  Whole& first = Open(one);
  EXPECT_EQ(Ingest(two).status().code(), StatusCode::kResourceExhausted) << "nobody makes room";
  make_room_ = [this](uint64_t) { return MakeRoom(1) > 0; };
  Whole& second = Open(two);
  EXPECT_EQ(first.stored->present_bytes(), 0U);
  EXPECT_TRUE(second.stored->complete());
  ExpectRight(first, 0);
  EXPECT_TRUE(first.stored->complete()) << "it takes the room of the other";
  EXPECT_EQ(second.stored->present_bytes(), 0U);
  EXPECT_LE(layers_->room().held_bytes(), kCap);
}

}  // namespace
}  // namespace starling::layer
