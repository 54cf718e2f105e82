#include "mount/image_opener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/memory_image.h"

namespace starling::mount {
namespace {

using store::LayerKey;
using testing_support::ManualClock;
using testing_support::ManualExecutor;
using testing_support::ManualTimer;
using testing_support::MemoryImageSource;

constexpr std::string_view kTocAnnotation = "containerd.io/snapshot/stargz/toc.digest";

/// An image of layers named by letters, bottom first; those with capitals have no TOC.
class TestImage {
 public:
  explicit TestImage(std::string_view names) {
    manifest_.media_type = oci::media_type::kOciManifest;
    manifest_.config = source_->Add(oci::media_type::kOciConfig, AsBytes("{}"));
    for (const char name : names) {
      oci::Descriptor layer{.media_type = std::string(oci::media_type::kOciLayerGzip),
                            .digest = LayerOf(name),
                            .size_bytes = 1000};
      if (std::islower(name) != 0) {
        layer.annotations[std::string(kTocAnnotation)] = TocOf(name).ToString();
      }
      manifest_.layers.push_back(layer);
    }
    descriptor_ = source_->Add(manifest_);
    source_->SetTop(descriptor_);
  }

  static oci::Digest LayerOf(char name) {
    return oci::Digest::Of(AsBytes(fmt::format("layer {}", name)));
  }
  static oci::Digest TocOf(char name) {
    return oci::Digest::Of(AsBytes(fmt::format("toc {}", name)));
  }
  /// What a client says that prepares the first of `names`.
  LayerSpec Ask(std::string_view names) const {
    LayerSpec spec = AskByName(names);
    spec.manifest = descriptor_.digest;
    return spec;
  }
  static LayerSpec AskByName(std::string_view names) {
    LayerSpec spec{.image = "image", .layer = LayerOf(names[0]), .toc = TocOf(names[0])};
    for (const char name : names) {
      spec.image_layers.push_back(LayerOf(name));
    }
    return spec;
  }
  const std::shared_ptr<MemoryImageSource>& source() const { return source_; }
  const oci::Digest& digest() const { return descriptor_.digest; }

 private:
  std::shared_ptr<MemoryImageSource> source_ = std::make_shared<MemoryImageSource>();
  oci::Manifest manifest_;
  oci::Descriptor descriptor_;
};

char NameOf(const oci::Digest& layer) {
  for (char name = 'a'; name <= 'z'; ++name) {
    if (TestImage::LayerOf(name) == layer) {
      return name;
    }
  }
  return '?';
}

class ImageOpenerTest : public testing::Test {
 protected:
  std::shared_ptr<ImageOpener> Make(std::shared_ptr<oci::ImageSource> source, Executor& executor) {
    return std::make_shared<ImageOpener>(ImageOpener::Dependencies{
        .sources = [source = std::move(source)](const std::string&)
            -> StatusOr<std::shared_ptr<oci::ImageSource>> { return source; },
        .open =
            [this](const LayerSpec& layer) {
              MutexLock lock(mutex_);
              opened_ += NameOf(layer.layer);
              specs_.push_back(layer);
              changed_.NotifyAll();
              while (held_) {
                changed_.Wait(mutex_);
              }
            },
        .let_go =
            [this](const LayerKey& layer) {
              MutexLock lock(mutex_);
              let_go_ += NameOf(layer.layer);
            },
        .openers = executor,
        .timer = timer_,
        .clock = clock_});
  }
  std::string opened() {
    MutexLock lock(mutex_);
    return opened_;
  }
  std::string let_go() {
    MutexLock lock(mutex_);
    return let_go_;
  }
  void Pass(std::chrono::milliseconds time) {
    timer_.Advance(time);
    executor_.RunAll();
  }

  ManualClock clock_;
  ManualTimer timer_{clock_};
  ManualExecutor executor_;
  Mutex mutex_;
  Condition changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  std::string opened_ GUARDED_BY(mutex_);
  std::string let_go_ GUARDED_BY(mutex_);
  std::vector<LayerSpec> specs_ GUARDED_BY(mutex_);
};

TEST_F(ImageOpenerTest, OneManifestTellsAllLayersAbove) {
  const TestImage image("abcde");
  const auto opener = Make(image.source(), executor_);
  opener->Ask(image.Ask("bcde"));
  EXPECT_EQ(image.source()->manifests_read(), 0) << "whoever asks does not wait for it";
  executor_.RunAll();
  EXPECT_EQ(opened(), "cde") << "in the image's order";
  MutexLock lock(mutex_);
  EXPECT_EQ(specs_[0].key(), (LayerKey{TestImage::LayerOf('c'), TestImage::TocOf('c')}));
  EXPECT_EQ(specs_[0].image, "image");
  EXPECT_EQ(specs_[0].size_bytes, 1000U);
  EXPECT_EQ(specs_[0].manifest, image.digest());
}

TEST_F(ImageOpenerTest, AsksForTheManifestOnce) {
  const TestImage image("abcde");
  const auto opener = Make(image.source(), executor_);
  for (const std::string_view rest : {"abcde", "bcde", "cde", "de", "e"}) {
    opener->Ask(image.Ask(rest));
    executor_.RunAll();
  }
  EXPECT_EQ(image.source()->manifests_read(), 1);
  EXPECT_EQ(opened(), "bcde");
  Pass(2 * ImageOpener::kPatience);
  EXPECT_EQ(let_go(), "") << "all were asked for";
}

TEST_F(ImageOpenerTest, LeavesToOthersWhatTheyBegan) {
  const TestImage image("abcd");
  const auto opener = Make(image.source(), executor_);
  opener->Ask(image.Ask("abcd"));
  opener->Ask(image.Ask("bcd"));  // before the manifest has come
  executor_.RunAll();
  EXPECT_EQ(opened(), "cd");
  EXPECT_EQ(image.source()->manifests_read(), 1);
}

TEST_F(ImageOpenerTest, PassesOverLayersWithoutToc) {
  const TestImage image("aBc");
  const auto opener = Make(image.source(), executor_);
  LayerSpec first = image.Ask("ac");
  opener->Ask(first);
  executor_.RunAll();
  EXPECT_EQ(opened(), "c");
}

TEST_F(ImageOpenerTest, TheNameServesWhereTheManifestIsNotNamed) {
  const TestImage image("abc");
  const auto opener = Make(image.source(), executor_);
  opener->Ask(TestImage::AskByName("abc"));
  opener->Ask(TestImage::AskByName("bc"));
  executor_.RunAll();
  EXPECT_EQ(opened(), "c");
  EXPECT_EQ(image.source()->manifests_read(), 1);
}

TEST_F(ImageOpenerTest, IgnoresWrongHints) {
  const TestImage image("abc");
  LayerSpec other_toc = image.Ask("abc");
  other_toc.toc = TestImage::TocOf('x');
  LayerSpec not_there = image.Ask("abc");
  not_there.manifest = TestImage::LayerOf('a');
  LayerSpec no_manifest = image.Ask("abc");
  no_manifest.manifest = image.source()->Add("text/plain", AsBytes("a text")).digest;
  const struct {
    std::string_view name;
    LayerSpec asked;
    int manifests;
  } cases[] = {
      {.name = "another image's manifest", .asked = image.Ask("xyz"), .manifests = 1},
      {.name = "the name is another image's by now",
       .asked = TestImage::AskByName("abx"),
       .manifests = 1},
      {.name = "the layer has another TOC", .asked = other_toc, .manifests = 1},
      {.name = "the registry has no such manifest", .asked = not_there, .manifests = 1},
      {.name = "not a manifest", .asked = no_manifest, .manifests = 1},
      {.name = "nothing above it", .asked = image.Ask("c"), .manifests = 0},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const int before = image.source()->manifests_read();
    const auto opener = Make(image.source(), executor_);
    opener->Ask(c.asked);
    executor_.RunAll();
    opener->Ask(c.asked);
    executor_.RunAll();
    EXPECT_EQ(opened(), "");
    EXPECT_EQ(image.source()->manifests_read() - before, c.manifests) << "not again and again";
  }
}

TEST_F(ImageOpenerTest, TriesAgainAfterAWhile) {
  const TestImage image("abc");
  image.source()->Fail(image.digest(), MakeError(StatusCode::kUnavailable, "away"));
  const auto opener = Make(image.source(), executor_);
  opener->Ask(image.Ask("abc"));
  executor_.RunAll();
  Pass(ImageOpener::kPatience / 2);
  opener->Ask(image.Ask("abc"));  // does not prolong it
  executor_.RunAll();
  EXPECT_EQ(image.source()->manifests_read(), 1);
  Pass(ImageOpener::kPatience / 2);
  opener->Ask(image.Ask("abc"));
  executor_.RunAll();
  EXPECT_EQ(image.source()->manifests_read(), 2);
}

TEST_F(ImageOpenerTest, LetsGoWhatNobodyAsksFor) {
  const TestImage image("abcd");
  const auto opener = Make(image.source(), executor_);
  opener->Ask(image.Ask("abcd"));
  executor_.RunAll();
  Pass(ImageOpener::kPatience / 2);
  opener->Ask(image.Ask("bcd"));
  Pass(ImageOpener::kPatience / 2);
  EXPECT_EQ(let_go(), "") << "somebody asked not long ago";
  Pass(ImageOpener::kPatience);
  EXPECT_EQ(let_go().size(), 2U);
  EXPECT_THAT(let_go(), testing::AllOf(testing::HasSubstr("c"), testing::HasSubstr("d")));
  EXPECT_EQ(timer_.waiting(), 0U);
}

TEST_F(ImageOpenerTest, AnotherImageMayStillWaitForALayer) {
  const TestImage one("abc");
  const TestImage two("dbf");
  const auto opener = Make(one.source(), executor_);
  opener->Ask(one.Ask("abc"));
  executor_.RunAll();
  Pass(ImageOpener::kPatience / 2);
  LayerSpec d{.image = "two", .layer = TestImage::LayerOf('d'), .toc = TestImage::TocOf('d')};
  LayerSpec b{.image = "two", .layer = TestImage::LayerOf('b'), .toc = TestImage::TocOf('b')};
  opener->OpenAll({d, b});
  Pass(ImageOpener::kPatience / 2);
  EXPECT_EQ(let_go(), "c");
}

TEST_F(ImageOpenerTest, ASecondPullOpensAgainWithoutAsking) {
  const TestImage image("abc");
  const auto opener = Make(image.source(), executor_);
  for (int pull = 0; pull < 2; ++pull) {
    for (const std::string_view rest : {"abc", "bc", "c"}) {
      opener->Ask(image.Ask(rest));
      executor_.RunAll();
    }
  }
  EXPECT_EQ(opened(), "bcbc");
  EXPECT_EQ(image.source()->manifests_read(), 1);
}

TEST_F(ImageOpenerTest, WhatTheClientNamesIsOpenedWithoutAManifest) {
  const TestImage image("abcd");
  const auto opener = Make(image.source(), executor_);
  LayerSpec first = image.Ask("abcd");
  for (const char name : {'a', 'c', 'd'}) {
    first.lazy_layers.emplace_back(TestImage::LayerOf(name), TestImage::TocOf(name));
  }
  first.reader = Reader::kBuild;
  opener->Ask(first);
  executor_.RunAll();
  EXPECT_EQ(opened(), "cd") << "b is not named";
  EXPECT_EQ(image.source()->manifests_read(), 0);
  {
    MutexLock lock(mutex_);
    EXPECT_EQ(specs_.at(0).toc, TestImage::TocOf('c'));
    EXPECT_EQ(specs_.at(0).manifest, image.digest());
    EXPECT_EQ(specs_.at(0).reader, Reader::kBuild);
  }
  LayerSpec second = image.Ask("bcd");
  second.lazy_layers = {{TestImage::LayerOf('c'), TestImage::TocOf('c')}};
  opener->Ask(second);
  executor_.RunAll();
  EXPECT_EQ(opened(), "cd") << "once";
}

TEST_F(ImageOpenerTest, WhatTheClientNamesWithoutTheLayerItselfOpensNothing) {
  const TestImage image("abc");
  const auto opener = Make(image.source(), executor_);
  LayerSpec first = image.Ask("abc");
  first.lazy_layers = {{TestImage::LayerOf('b'), TestImage::TocOf('b')}};
  opener->Ask(first);
  executor_.RunAll();
  EXPECT_EQ(opened(), "");
}

TEST_F(ImageOpenerTest, OpensAllThatIsKnownWithoutAManifest) {
  const TestImage image("abc");
  const auto opener = Make(image.source(), executor_);
  opener->OpenAll({image.Ask("abc"), image.Ask("bc"), image.Ask("c")});
  opener->Ask(image.Ask("abc"));  // whoever asks opens it
  executor_.RunAll();
  EXPECT_EQ(opened(), "bc");
  EXPECT_EQ(image.source()->manifests_read(), 0);
  opener->OpenAll({});
  executor_.RunAll();
  EXPECT_EQ(opened(), "bc");
}

TEST_F(ImageOpenerTest, OpeningsOverlapAndNoneBeginsAfterStop) {
  const TestImage image("abcdefgh");
  {
    MutexLock lock(mutex_);
    held_ = true;
  }
  std::optional<ThreadPool> openers(std::in_place, "open", 3);
  const auto opener = Make(image.source(), *openers);
  opener->Ask(image.Ask("abcdefgh"));
  {
    MutexLock lock(mutex_);
    while (opened_.size() < 3) {
      changed_.Wait(mutex_);
    }
  }
  Pass(3 * ImageOpener::kPatience);
  EXPECT_EQ(let_go(), "") << "not before their openings end";
  opener->Stop();
  {
    MutexLock lock(mutex_);
    held_ = false;
  }
  changed_.NotifyAll();
  openers.reset();
  EXPECT_EQ(opened().size(), 3U) << "at once, and no more";
  Pass(3 * ImageOpener::kPatience);
  opener->Ask(TestImage::AskByName("xyz"));
  opener->OpenAll({image.Ask("abc")});
  executor_.RunAll();
  EXPECT_EQ(opened().size(), 3U);
}

TEST_F(ImageOpenerTest, StopEndsWhatHasNotBegun) {
  const TestImage image("abc");
  const auto opener = Make(image.source(), executor_);
  opener->Ask(image.Ask("abc"));
  opener->Stop();
  executor_.RunAll();
  EXPECT_EQ(image.source()->manifests_read(), 0);
  EXPECT_EQ(opened(), "");
}

}  // namespace
}  // namespace starling::mount
