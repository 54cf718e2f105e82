#include "mount/layer_prefetch.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/clock.h"
#include "tests/support/gzip_text.h"
#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/manual_executor.h"
#include "tests/support/tar_builder.h"

namespace starling::mount {
namespace {

class LayerPrefetchTest : public testing_support::LazyLayerFixture {
 protected:
  void SetUp() override {
    testing_support::TarBuilder tar;
    tar.Add({.name = "file", .content = testing_support::Noise(10'000, 1)});
    OpenLayer(tar.Finish(), 4096);
    held_ = {.layer = layer_, .stored = *layers_->Find(layer_->key()), .tap = {}, .gaps = {}};
    spec_.layer = layer_->key().layer;
    spec_.toc = layer_->key().toc;
  }
  std::unique_ptr<LayerPrefetch> Make(const FetchPolicy& policy = {}) {
    return std::make_unique<LayerPrefetch>(LayerPrefetch::Dependencies{.policy = policy,
                                                                       .scheduler = *scheduler_,
                                                                       .plans = plans_,
                                                                       .commands = commands_,
                                                                       .layers = *layers_,
                                                                       .disk = disk_});
  }
  LayerSpec For(Reader reader) const {
    LayerSpec spec = spec_;
    spec.reader = reader;
    return spec;
  }

  ThreadTimer timer_;
  std::shared_ptr<layer::FetchScheduler> scheduler_ =
      layer::FetchScheduler::Make({}, {.clock = SystemClock(), .executor = cpu_, .timer = timer_});
  layer::ProfileStore profiles_{directory_.path() / "profiles", RealFileSystem()};
  layer::PrefetchPlans plans_{profiles_, scheduler_};
  testing_support::ManualExecutor disk_;
  testing_support::ManualExecutor network_;
  std::vector<std::string> asked_;  // images whose configuration was wanted
  CommandFiles commands_{
      {.sources = [this](const std::string& image) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
         asked_.push_back(image);
         return MakeError(StatusCode::kUnavailable, "no network");
       },
       .scheduler = *scheduler_,
       .executor = network_}};
  HeldLayer held_;
  LayerSpec spec_;
};

TEST_F(LayerPrefetchTest, KnowsWhichLayersOnlyBuildsHaveMounted) {
  struct Mount {
    Reader reader;
    bool is_first;
    bool is_for_builds;
  };
  const struct {
    const char* name;
    std::vector<Mount> mounts;
  } cases[] = {
      {"a build", {{Reader::kBuild, true, true}}},
      {"builds", {{Reader::kBuild, true, true}, {Reader::kBuild, false, true}}},
      {"a container", {{Reader::kContainer, true, false}}},
      {"a build beside a container",
       {{Reader::kContainer, true, false}, {Reader::kBuild, false, false}}},
      {"a container beside a build, and another build",
       {{Reader::kBuild, true, true},
        {Reader::kContainer, false, false},
        {Reader::kBuild, false, false}}},
  };
  for (const auto& [name, mounts] : cases) {
    const auto prefetch = Make();
    for (const Mount& mount : mounts) {
      EXPECT_EQ(prefetch->NoteReader(For(mount.reader), mount.is_first), mount.is_for_builds)
          << name;
    }
    EXPECT_EQ(prefetch->TakeFromBuilds(spec_.key()).has_value(), mounts.back().is_for_builds)
        << name;
  }
}

TEST_F(LayerPrefetchTest, AContainerEndsWhatWasDecidedForBuilds) {
  const auto prefetch = Make();
  EXPECT_TRUE(prefetch->NoteReader(For(Reader::kBuild), true));
  EXPECT_TRUE(prefetch->DecisionOf(spec_.key()));
  EXPECT_FALSE(prefetch->NoteReader(For(Reader::kContainer), false));
  EXPECT_FALSE(prefetch->DecisionOf(spec_.key()));
}

TEST_F(LayerPrefetchTest, ALayerIsTakenFromBuildsOnce) {
  const auto prefetch = Make();
  LayerSpec spec = For(Reader::kBuild);
  spec.image = "image";
  EXPECT_TRUE(prefetch->NoteReader(spec, true));
  ASSERT_TRUE(prefetch->DecisionOf(spec.key()));
  EXPECT_EQ(prefetch->DecisionOf(spec.key())->reason, "only builds read it");
  const auto taken = prefetch->TakeFromBuilds(spec.key());
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->image, "image");
  EXPECT_FALSE(prefetch->TakeFromBuilds(spec.key()));
  EXPECT_FALSE(prefetch->DecisionOf(spec.key())) << "it is to be decided anew";
}

TEST_F(LayerPrefetchTest, WhatWasDecidedIsKeptWithTheLayer) {
  FetchPolicy policy{.background = true, .preference = layer::FetchPreference::kAuto};
  const auto first = Make(policy);
  EXPECT_FALSE(first->DecisionOf(spec_.key()));
  first->Begin(held_, spec_);
  const auto decided = first->DecisionOf(spec_.key());
  ASSERT_TRUE(decided);
  EXPECT_FALSE(decided->reason.empty());
  first->Forget(spec_.key());
  EXPECT_FALSE(first->DecisionOf(spec_.key())) << "the disk has not come to it";
  disk_.RunAll();
  EXPECT_EQ(first->DecisionOf(spec_.key()), decided);
  const auto after_restart = Make(policy);
  EXPECT_EQ(after_restart->DecisionOf(spec_.key()), decided);
}

TEST_F(LayerPrefetchTest, WhatTheOperatorWantsGoesBeforeWhatIsKept) {
  const auto lazy = Make({.background = true, .preference = layer::FetchPreference::kLazy});
  lazy->Begin(held_, spec_);
  disk_.RunAll();
  const auto eager = Make({.background = true, .preference = layer::FetchPreference::kEager});
  eager->Begin(held_, spec_);
  ASSERT_TRUE(eager->DecisionOf(spec_.key()));
  EXPECT_EQ(eager->DecisionOf(spec_.key())->mode, layer::FetchMode::kEager);
  const auto without_background = Make({.preference = layer::FetchPreference::kEager});
  without_background->Begin(held_, spec_);
  ASSERT_TRUE(without_background->DecisionOf(spec_.key()));
  EXPECT_EQ(without_background->DecisionOf(spec_.key())->mode, layer::FetchMode::kLazy);
}

// The layers have the landmark by which stargz-snapshotter prefetches nothing, as all have that
// were converted without a run.
TEST_F(LayerPrefetchTest, StartFilesComeFirstOfWhatComesAnyhow) {
  const struct {
    const char* name;
    FetchPolicy policy;
    Reader reader;
    bool is_new;
    bool come;
    bool come_by_command;
  } cases[] = {
      {"a container", {.background = true}, Reader::kContainer, true, true, true},
      {"one here before", {.background = true}, Reader::kContainer, false, true, false},
      {"an eager one",
       {.background = true, .preference = layer::FetchPreference::kEager},
       Reader::kContainer,
       true,
       true,
       true},
      {"no background", {}, Reader::kContainer, true, false, false},
      {"no prefetch",
       {.prefetch = false, .background = true},
       Reader::kContainer,
       true,
       false,
       false},
      {"a build", {}, Reader::kBuild, true, true, false},
      {"a build without prefetch", {.prefetch = false}, Reader::kBuild, true, false, false},
  };
  unsigned number = 1;  // of SetUp's content
  for (const auto& c : cases) {
    layer_->Close();
    testing_support::TarBuilder tar;  // another layer each time, of which nothing is here
    tar.Add({.name = "etc/ld.so.cache", .content = testing_support::Noise(10'000, ++number)});
    OpenLayer(tar.Finish(), 4096);
    ASSERT_TRUE(layer_->chunks().no_prefetch());
    blob_->Hold();
    held_.layer = layer_;
    held_.stored = *layers_->Find(layer_->key());
    held_.is_new = c.is_new;
    LayerSpec spec = For(c.reader);
    spec.image = c.name;
    spec.layer = layer_->key().layer;
    spec.toc = layer_->key().toc;
    spec.manifest = oci::Digest::Of(AsBytes(spec.image));
    asked_.clear();
    const auto prefetch = Make(c.policy);
    if (c.reader == Reader::kBuild) {
      prefetch->BeginStartFiles(held_, spec);
    } else {
      prefetch->Begin(held_, spec);
    }
    disk_.RunAll();
    network_.RunAll();
    EXPECT_EQ(blob_->requests() > 0, c.come) << c.name;
    EXPECT_EQ(!asked_.empty(), c.come_by_command) << c.name;
    blob_->Release();  // what waits there keeps the layer
    held_ = {};
  }
}

}  // namespace
}  // namespace starling::mount
