#include "mount/eager_layers.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/temp_dir.h"
#include "tests/support/gzip.h"
#include "tests/support/lazy_image.h"
#include "tests/support/manual_clock.h"
#include "tests/support/tar_builder.h"

namespace starling::mount {
namespace {

using testing_support::Gzip;
using testing_support::LazyImage;
using testing_support::LazyLayerBlob;
using testing_support::MemoryBlob;
using testing_support::TarBuilder;

/// Larger than a tail, so that it takes a request that can be held back.
std::string TarNamed(const std::string& name) {
  std::string content;
  for (int i = 0; content.size() < 600'000; ++i) {
    content += oci::Digest::Of(AsBytes(name + std::to_string(i))).Hex();
  }
  return TarBuilder().Add({.name = name, .content = content}).Finish();
}

const layer::LayerIngest::Spill kNoSpill = [](uint32_t chunk, ByteSpan) {
  FAIL() << "the disk did not take chunk " << chunk;
};

class EagerLayersTest : public testing::Test {
 protected:
  void SetUp() override {
    auto layers = store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
    eager_ = std::make_shared<EagerLayers>(EagerLayers::Dependencies{
        .sources = [this](const std::string&) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
          return image_;
        },
        .ingest = {.layers = *layers_, .cpu = cpu_, .counters = counters_, .scheduler = nullptr},
        .clock = clock_,
        .disk_bytes = [] { return UINT64_MAX; }});
  }
  void TearDown() override {
    eager_->Close();
    for (const auto& blob : blobs_) {
      blob->Release();
    }
  }
  /// A layer that the registry has, and its blob.
  std::pair<LayerSpec, std::shared_ptr<MemoryBlob>> Add(const std::string& name,
                                                        const std::string& image = "image") {
    const std::string zipped = Gzip(TarNamed(name));
    const oci::Digest digest = oci::Digest::Of(AsBytes(zipped));
    auto blob = image_->Add({.blob = ToBytes(zipped), .digest = digest, .toc = digest});
    blobs_.push_back(blob);
    return {{.image = image, .layer = digest, .toc = digest}, blob};
  }
  std::future<StatusOr<std::shared_ptr<store::StoredLayer>>> FetchSoon(const LayerSpec& spec) {
    return std::async(std::launch::async, [this, spec] { return eager_->Fetch(spec); });
  }
  static void WaitForRequest(const std::shared_ptr<MemoryBlob>& blob) {
    while (blob->requests() == 0) {
      std::this_thread::yield();
    }
  }
  size_t Directories() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "store")) {
      count += entry.is_directory() ? 1 : 0;
    }
    return count;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "eager-layers-");
  testing_support::ManualClock clock_;
  std::shared_ptr<LazyImage> image_ = std::make_shared<LazyImage>();
  std::vector<std::shared_ptr<MemoryBlob>> blobs_;
  layer::FetchCounters counters_;
  std::unique_ptr<store::LayerStore> layers_;
  ThreadPool cpu_{"cpu", 1};
  std::shared_ptr<EagerLayers> eager_;
};

TEST_F(EagerLayersTest, FetchStoresALayer) {
  const auto [spec, blob] = Add("one");
  const auto stored = eager_->Fetch(spec);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_TRUE((*stored)->complete());
  EXPECT_EQ(eager_->under_way(), 0U);
}

TEST_F(EagerLayersTest, FetchJoinsWhatWasBegunAhead) {
  const auto [spec, blob] = Add("one");
  blob->Hold();
  eager_->BeginAhead({{spec}});
  WaitForRequest(blob);
  EXPECT_TRUE(layers_->List()->empty()) << "nobody asked for it";
  auto fetch = FetchSoon(spec);
  blob->Release();
  const auto stored = fetch.get();
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(blob->requests(), 1U);
  EXPECT_EQ(image_->opened(), 1);
  EXPECT_EQ(eager_->under_way(), 0U);
}

TEST_F(EagerLayersTest, TwoAreDecodedAtOnceAndAwaitedOnesComeFirst) {
  std::vector<LayerSpec> specs;
  std::vector<std::shared_ptr<MemoryBlob>> blobs;
  for (const char* name : {"a", "b", "c", "d"}) {
    auto [spec, blob] = Add(name);
    blob->Hold();
    specs.push_back(spec);
    blobs.push_back(blob);
  }
  eager_->BeginAhead(specs);
  WaitForRequest(blobs[0]);
  WaitForRequest(blobs[1]);
  EXPECT_EQ(image_->opened(), 2);
  auto fetch = FetchSoon(specs[3]);
  while (!eager_->is_awaited(specs[3].layer)) {
    std::this_thread::yield();
  }
  blobs[0]->Release();
  WaitForRequest(blobs[3]);
  EXPECT_EQ(blobs[2]->requests(), 0U);
  blobs[3]->Release();
  EXPECT_TRUE(fetch.get().ok());
}

TEST_F(EagerLayersTest, AbandonEndsWhatIsNotFetchedYet) {
  std::vector<LayerSpec> specs;
  std::vector<std::shared_ptr<MemoryBlob>> blobs;
  for (const char* name : {"awaited", "ahead", "waiting"}) {
    auto [spec, blob] = Add(name);
    blob->Hold();
    specs.push_back(spec);
    blobs.push_back(blob);
  }
  eager_->BeginAhead(specs);
  WaitForRequest(blobs[0]);
  WaitForRequest(blobs[1]);
  auto fetch = FetchSoon(specs[0]);
  while (!eager_->is_awaited(specs[0].layer)) {
    std::this_thread::yield();
  }
  // The one that waits first, because an end makes room for it.
  for (const size_t i : {2, 1, 0}) {
    eager_->Abandon(specs[i].layer);
  }
  EXPECT_EQ(fetch.get().status().code(), StatusCode::kAborted);
  EXPECT_EQ(eager_->under_way(), 0U);
  for (const auto& blob : blobs) {
    blob->Release();
  }
  EXPECT_TRUE(eager_->Fetch(specs[0]).ok()) << "who asks for it again gets it";
  EXPECT_EQ(blobs[2]->requests(), 0U);
}

TEST_F(EagerLayersTest, AbandonLeavesWhatWasFetched) {
  const auto [spec, blob] = Add("one");
  eager_->BeginAhead({{spec}});
  while (!eager_->has_ended(spec.layer)) {
    std::this_thread::yield();
  }
  eager_->Abandon(spec.layer);
  EXPECT_TRUE(eager_->Fetch(spec).ok());
  EXPECT_EQ(image_->opened(), 1);
  eager_->Abandon(spec.layer);  // nothing by that name
}

TEST_F(EagerLayersTest, ALayerThatFailedAheadIsTriedAgainWhenAskedFor) {
  const auto [spec, blob] = Add("one");
  blob->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  eager_->BeginAhead({{spec}});
  WaitForRequest(blob);
  const auto stored = eager_->Fetch(spec);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(blob->requests(), 2U);
}

TEST_F(EagerLayersTest, TellsTheErrorOfALayerThatWasAskedFor) {
  const auto [spec, blob] = Add("one");
  blob->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  EXPECT_EQ(eager_->Fetch(spec).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(eager_->under_way(), 0U);
  EXPECT_EQ(Directories(), 0U);
}

TEST_F(EagerLayersTest, ALazyLayerIsFetchedOnlyWhenAskedFor) {
  const auto lazy = testing_support::MakeLazyLayer(TarNamed("one"), 64 << 10);
  ASSERT_TRUE(lazy.ok()) << lazy.status();
  const auto blob = image_->Add(*lazy);
  const LayerSpec spec{.image = "image", .layer = lazy->digest, .toc = lazy->digest};
  eager_->BeginAhead({{spec}});
  while (image_->opened() == 0) {
    std::this_thread::yield();
  }
  EXPECT_EQ(blob->requests(), 0U);
  const auto stored = eager_->Fetch(spec);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(blob->requests(), 1U);
}

TEST_F(EagerLayersTest, WhatNobodyAsksForGoes) {
  const auto [one, one_blob] = Add("one", "first image");
  const auto [two, two_blob] = Add("two", "second image");
  eager_->BeginAhead({{one}});
  eager_->BeginAhead({{two}});
  WaitForRequest(one_blob);
  WaitForRequest(two_blob);
  while (!eager_->has_ended(one.layer) || !eager_->has_ended(two.layer)) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Directories(), 2U);
  clock_.Advance(EagerLayers::kUnclaimed - std::chrono::seconds(1));
  eager_->DropUnclaimed();
  EXPECT_EQ(eager_->under_way(), 2U);
  // The pull of the first image goes on.
  const auto [next, next_blob] = Add("next", "first image");
  EXPECT_TRUE(eager_->Fetch(next).ok());
  clock_.Advance(std::chrono::seconds(2));
  eager_->DropUnclaimed();
  EXPECT_EQ(eager_->under_way(), 1U);
  EXPECT_EQ(Directories(), 2U) << "one was asked for, one waits";
  EXPECT_TRUE(eager_->Fetch(one).ok());
  EXPECT_EQ(one_blob->requests(), 1U);
}

TEST_F(EagerLayersTest, WhatRunsForNobodyIsCancelled) {
  const auto [spec, blob] = Add("one");
  blob->Hold();
  eager_->BeginAhead({{spec}});
  WaitForRequest(blob);
  clock_.Advance(EagerLayers::kUnclaimed);
  eager_->DropUnclaimed();
  while (!eager_->has_ended(spec.layer)) {
    std::this_thread::yield();
  }
  eager_->DropUnclaimed();
  EXPECT_EQ(eager_->under_way(), 0U);
  EXPECT_EQ(Directories(), 0U);
}

TEST_F(EagerLayersTest, CloseEndsWhatIsWaitedFor) {
  const auto [spec, blob] = Add("one");
  blob->Hold();
  auto fetch = FetchSoon(spec);
  WaitForRequest(blob);
  eager_->Close();
  EXPECT_EQ(fetch.get().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(eager_->Fetch(spec).status().code(), StatusCode::kCancelled);
  eager_->BeginAhead({{spec}});
  EXPECT_EQ(eager_->under_way(), 0U);
  EXPECT_EQ(Directories(), 0U);
}

TEST_F(EagerLayersTest, MendFetchesTheLayerAgain) {
  const auto [spec, blob] = Add("one");
  const auto stored = *eager_->Fetch(spec);
  stored->Distrust(0, 600'000);
  std::promise<Status> mended;
  eager_->Mend(spec, stored, kNoSpill, [&](const Status& status) { mended.set_value(status); });
  const Status status = mended.get_future().get();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(stored->complete());
  EXPECT_EQ(image_->opened(), 2);
  EXPECT_EQ(Directories(), 1U) << "it is written where it was";
}

TEST_F(EagerLayersTest, CloseEndsAMend) {
  const auto [spec, blob] = Add("one");
  const auto stored = *eager_->Fetch(spec);
  stored->Distrust(0, 600'000);
  blob->Hold();
  const size_t requests = blob->requests();
  std::promise<Status> mended;
  eager_->Mend(spec, stored, kNoSpill, [&](const Status& status) { mended.set_value(status); });
  while (blob->requests() == requests) {
    std::this_thread::yield();
  }
  eager_->Close();
  EXPECT_EQ(mended.get_future().get().code(), StatusCode::kCancelled);
  eager_->Mend(spec, stored, kNoSpill, [](const Status&) { FAIL() << "after Close"; });
}

TEST(LayerSpec, ItsHostIsTheRegistry) {
  EXPECT_EQ(LayerSpec{.image = "ghcr.io/a/b:1"}.host(), "ghcr.io");
  EXPECT_EQ(LayerSpec{.image = "not a reference"}.host(), "not a reference");
}

}  // namespace
}  // namespace starling::mount
