#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/temp_dir.h"
#include "layer/access_profile.h"
#include "layer/layer_opener.h"
#include "layer/lazy_layer.h"
#include "tests/support/file_tree.h"
#include "tests/support/lazy_image.h"
#include "tests/support/manual_executor.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {

using std::chrono::milliseconds;

/// Two layers of ten files of 4 KiB each, whose chunks are one member each.
class PrefetchPlanFixture : public testing::Test {
 protected:
  static constexpr uint64_t kFile = 4096;
  static constexpr int kFiles = 10;

  struct Opened {
    std::shared_ptr<LazyLayer> layer;
    std::shared_ptr<testing_support::MemoryBlob> blob;
  };

  void SetUp() override {
    auto directory = TempDir::Make("/tmp", "prefetch-plan-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    auto layers = store::LayerStore::Open(directory_->path() / "store", RealFileSystem());
    ASSERT_TRUE(layers.ok()) << layers.status();
    layers_ = *std::move(layers);
    scheduler_ = FetchScheduler::Make({}, {.clock = clock_, .executor = cpu_, .timer = timer_});
    Open('a', first_);
    Open('b', second_);
  }
  void TearDown() override {
    scheduler_->Close();
    for (const Opened* opened : {&first_, &second_}) {
      if (opened->layer) {
        opened->layer->Close();
      }
    }
  }
  void Open(char content, Opened& opened) {
    OpenWithoutReader(content, opened);
    opened.layer->UseReader(opened.blob);
  }
  void OpenWithoutReader(char content, Opened& opened) {
    testing_support::TarBuilder tar;
    for (int i = 0; i < kFiles; ++i) {
      tar.Add({.name = fmt::format("f{}", i),
               .content = std::string(kFile, static_cast<char>(content + i))});
    }
    const auto made = testing_support::MakeLazyLayer(tar.Finish(), kFile);
    ASSERT_TRUE(made.ok()) << made.status();
    opened.blob = image_.Add(*made);
    const auto stored =
        OpenLayer(image_, {.layer = made->digest, .toc = made->toc}, 0, *layers_, counters_);
    ASSERT_TRUE(stored.ok()) << stored.status();
    auto layer = LazyLayer::Open(stored->stored, cpu_, counters_, {}, scheduler_);
    ASSERT_TRUE(layer.ok()) << layer.status();
    opened.layer = *std::move(layer);
  }
  /// One file of the layer.
  static AccessRange Need(int file, int64_t first_need) {
    return {.range = {.data_address = static_cast<uint64_t>(file) * kFile, .size_bytes = kFile},
            .first_need = milliseconds(first_need)};
  }
  AccessProfile Profile(std::vector<AccessRange> first, std::vector<AccessRange> second) {
    auto profile =
        AccessProfile::Make(oci::Digest::Of(AsBytes("image")), 1,
                            {{.key = first_.layer->key(), .ranges = std::move(first)},
                             {.key = second_.layer->key(), .ranges = std::move(second)}});
    EXPECT_TRUE(profile.ok()) << profile.status();
    return *std::move(profile);
  }
  static bool Holds(const Opened& opened, int file) {
    return opened.layer->IsPresent(Need(file, 0).range);
  }
  static void WaitFor(const Opened& opened, int file) {
    while (!Holds(opened, file)) {
      std::this_thread::yield();
    }
  }

  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  testing_support::LazyImage image_;
  FetchCounters counters_;
  std::optional<TempDir> directory_;
  std::unique_ptr<store::LayerStore> layers_;
  ThreadPool cpu_{"cpu", 2};
  std::shared_ptr<FetchScheduler> scheduler_;
  Opened first_;
  Opened second_;
};

}  // namespace starling::layer
