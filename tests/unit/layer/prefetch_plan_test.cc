#include "layer/prefetch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "base/temp_dir.h"
#include "layer/layer_opener.h"
#include "tests/support/file_tree.h"
#include "tests/support/lazy_image.h"
#include "tests/support/manual_executor.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;

/// Two layers of ten files of 4 KiB each, whose chunks are one member each.
class PrefetchPlanTest : public testing::Test {
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
    opened.layer->UseReader(opened.blob);
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

TEST_F(PrefetchPlanTest, CountsWhatALayerNeeds) {
  const PrefetchPlan plan(Profile({Need(1, 5), Need(8, 0)}, {Need(3, 2)}), scheduler_);
  EXPECT_EQ(plan.NeededBytes(first_.layer->key()), 2 * kFile);
  EXPECT_EQ(plan.NeededBytes(second_.layer->key()), kFile);
  EXPECT_EQ(plan.NeededBytes({.layer = first_.layer->key().layer, .toc = {}}), 0U);
}

TEST_F(PrefetchPlanTest, FetchesWhatTheProfileNamesAndNothingElse) {
  const auto plan =
      std::make_shared<PrefetchPlan>(Profile({Need(1, 5), Need(8, 0)}, {Need(3, 2)}), scheduler_);
  plan->Attach(first_.layer, "host");
  WaitFor(first_, 1);
  WaitFor(first_, 8);
  EXPECT_FALSE(Holds(second_, 3)) << "its layer is not there yet";
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  EXPECT_FALSE(Holds(second_, 4));
  EXPECT_FALSE(Holds(first_, 9));
  EXPECT_EQ(second_.blob->requests(), 1U);
}

TEST_F(PrefetchPlanTest, WhatIsNeededLaterButLiesCloseByComesAlong) {
  const auto plan = std::make_shared<PrefetchPlan>(
      Profile({Need(3, 500), Need(4, 0), Need(5, 900)}, {Need(3, 2)}), scheduler_);
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  plan->Attach(first_.layer, "host");
  for (const int file : {3, 4, 5}) {
    WaitFor(first_, file);
  }
  EXPECT_EQ(first_.blob->requests(), 1U);
  EXPECT_FALSE(Holds(first_, 2));
  EXPECT_FALSE(Holds(first_, 6));
}

TEST_F(PrefetchPlanTest, HeldChunksCostNothing) {
  const auto plan = std::make_shared<PrefetchPlan>(Profile({Need(1, 0)}, {Need(3, 1)}), scheduler_);
  plan->Attach(first_.layer, "host");
  WaitFor(first_, 1);
  const size_t requests = first_.blob->requests();
  plan->Attach(first_.layer, "host");
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  EXPECT_EQ(first_.blob->requests(), requests);
}

TEST_F(PrefetchPlanTest, EndsWithItsLayers) {
  const auto plan = std::make_shared<PrefetchPlan>(Profile({Need(1, 0)}, {Need(3, 1)}), scheduler_);
  EXPECT_FALSE(plan->HasLayers());
  plan->Attach(first_.layer, "host");
  EXPECT_TRUE(plan->HasLayers());
  WaitFor(first_, 1);
  first_.layer->Close();
  std::weak_ptr<LazyLayer> last = std::exchange(first_.layer, nullptr);
  while (!last.expired()) {
    std::this_thread::yield();  // until the executor has let go of it
  }
  EXPECT_FALSE(plan->HasLayers());
}

}  // namespace
}  // namespace starling::layer
