#include "containerd/pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "oci/image_config.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/memory_image.h"

namespace starling::containerd {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing_support::FakeContainerd;
using testing_support::MemoryImageSource;

constexpr const char* kReference = "ghcr.io/me/app:1";
const std::string kTocDigest = "sha256:" + std::string(64, 'b');

/// What is left of a pull that should have left nothing.
testing::AssertionResult LeavesNothingBegun(FakeContainerd& containerd) {
  const FakeContainerd::State state = containerd.state();
  if (!state.leases.empty() || !state.ingests.empty() || state.active_snapshots() != 0) {
    return testing::AssertionFailure()
           << state.leases.size() << " leases, " << state.ingests.size() << " ingests, "
           << state.active_snapshots() << " active snapshots";
  }
  return testing::AssertionSuccess();
}

class PullTest : public testing::Test {
 protected:
  void SetUp() override { MakeImage(3); }

  /// An image whose layers are eStargz as far as their descriptors say.
  void MakeImage(size_t layer_count) {
    diff_ids_.clear();
    std::vector<std::string> diff_ids;
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    for (size_t i = 0; i < layer_count; ++i) {
      const oci::Digest diff_id = oci::Digest::Of(AsBytes(fmt::format("tar {}", i)));
      oci::Descriptor layer =
          source_.Add(oci::media_type::kOciLayerGzip, AsBytes(fmt::format("layer {}", i)));
      layer.annotations = {{std::string(oci::annotation::kTocDigest), kTocDigest},
                           {"org.example.other", "not for the snapshotter"}};
      containerd_.Change([&](FakeContainerd::State& state) {
        state.diff_ids[layer.digest.ToString()] = diff_id.ToString();
      });
      diff_ids_.push_back(diff_id);
      diff_ids.push_back(fmt::format(R"("{}")", diff_id.ToString()));
      manifest.layers.push_back(std::move(layer));
    }
    manifest.config = source_.Add(
        oci::media_type::kOciConfig,
        AsBytes(fmt::format(
            R"({{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{}]}}}})",
            fmt::join(diff_ids, ","))));
    manifest_ = manifest;
    top_ = source_.Add(manifest);
    source_.SetTop(top_);
    chain_ids_ = oci::ChainIds(diff_ids_);
  }
  /// The same image below an index.
  void PutUnderIndex() {
    oci::Index index;
    index.media_type = oci::media_type::kOciIndex;
    index.manifests = {top_};
    index.manifests[0].platform = kPlatform;
    top_ = source_.Add(index);
    source_.SetTop(top_);
  }
  void ShowLazily(size_t layer) {
    containerd_.Change(
        [&](FakeContainerd::State& state) { state.lazy_layers.insert(LayerDigest(layer)); });
  }
  void ShowAllLazily() {
    for (size_t i = 0; i < manifest_.layers.size(); ++i) {
      ShowLazily(i);
    }
  }

  std::string LayerDigest(size_t layer) const { return manifest_.layers[layer].digest.ToString(); }
  std::string ChainId(size_t layer) const { return chain_ids_[layer].ToString(); }

  StatusOr<PullReport> Pull() { return Pull(progress_); }
  StatusOr<PullReport> Pull(Progress& progress) {
    return PullImage(client_, source_,
                     {.reference = *oci::Reference::Parse(kReference),
                      .platform = kPlatform,
                      .stop = stop_.get_token()},
                     progress);
  }

  inline static const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};
  TempDir directory_ = *TempDir::Make("/tmp", "containerd-");
  std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
  Client client_{{.address = socket_, .namespace_name = "ns"}};
  MemoryImageSource source_;
  oci::Manifest manifest_;
  oci::Descriptor top_;
  std::vector<oci::Digest> diff_ids_;
  std::vector<oci::Digest> chain_ids_;
  std::stop_source stop_;
  NoProgress progress_;
};

TEST_F(PullTest, LazyLayersAreNotFetched) {
  ShowAllLazily();
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->target, top_.digest);
  EXPECT_EQ(report->lazy_layers, 3u);
  EXPECT_EQ(report->present_layers, 0u);
  EXPECT_EQ(report->downloaded_layers, 0u);
  EXPECT_EQ(source_.manifests_read(), 1);
  EXPECT_EQ(source_.blobs_streamed(), 1) << "the configuration alone";

  const FakeContainerd::State state = containerd_.state();
  EXPECT_THAT(state.blobs, SizeIs(2)) << "manifest and configuration";
  EXPECT_EQ(state.images.at(kReference).digest(), top_.digest.ToString());
  EXPECT_EQ(state.images.at(kReference).media_type(), oci::media_type::kOciManifest);
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(state.snapshots.contains(ChainId(i)));
    EXPECT_EQ(state.snapshots.at(ChainId(i)).parent, i == 0 ? "" : ChainId(i - 1));
  }
}

TEST_F(PullTest, TellsTheSnapshotterWhichLayerComes) {
  ShowAllLazily();
  ASSERT_TRUE(Pull().ok());
  const std::string above = LayerDigest(1) + "," + LayerDigest(2);
  const FakeContainerd::Labels want = {
      {"containerd.io/snapshot.ref", ChainId(1)},
      {"containerd.io/snapshot/remote", "remote snapshot"},  // the snapshotter's own
      {"containerd.io/snapshot/stargz/toc.digest", kTocDigest},
      {"containerd.io/snapshot/cri.image-ref", kReference},
      {"containerd.io/snapshot/cri.manifest-digest", top_.digest.ToString()},
      {"containerd.io/snapshot/cri.layer-digest", LayerDigest(1)},
      {"containerd.io/snapshot/cri.image-layers", above},
      {"containerd.io/snapshot/remote/stargz.reference", kReference},
      {"containerd.io/snapshot/remote/stargz.digest", LayerDigest(1)},
      {"containerd.io/snapshot/remote/stargz.layers", above},
      {"containerd.io/snapshot/starling/lazy-layers",
       LayerDigest(1) + "=" + kTocDigest + "," + LayerDigest(2) + "=" + kTocDigest},
  };
  EXPECT_EQ(containerd_.state().snapshots.at(ChainId(1)).labels, want);
}

TEST_F(PullTest, LabelsWhatItStoresForTheCollector) {
  PutUnderIndex();
  ShowAllLazily();
  ASSERT_TRUE(Pull().ok());
  const FakeContainerd::State state = containerd_.state();
  const std::string manifest = oci::Digest::Of(AsBytes(manifest_.ToJson())).ToString();
  const auto source = Pair("containerd.io/distribution.source.ghcr.io", "me/app");
  EXPECT_THAT(state.blobs.at(top_.digest.ToString()).labels,
              ElementsAre(source, Pair("containerd.io/gc.ref.content.m.0", manifest)));
  EXPECT_THAT(
      state.blobs.at(manifest).labels,
      ElementsAre(source,
                  Pair("containerd.io/gc.ref.content.config", manifest_.config.digest.ToString()),
                  Pair("containerd.io/gc.ref.content.l.0", LayerDigest(0)),
                  Pair("containerd.io/gc.ref.content.l.1", LayerDigest(1)),
                  Pair("containerd.io/gc.ref.content.l.2", LayerDigest(2))));
  EXPECT_THAT(state.blobs.at(manifest_.config.digest.ToString()).labels,
              ElementsAre(source, Pair("containerd.io/gc.ref.snapshot.stargz", ChainId(2))));
  EXPECT_EQ(state.images.at(kReference).media_type(), oci::media_type::kOciIndex);
}

TEST_F(PullTest, OneLeaseHoldsAllThatIsMade) {
  ShowLazily(0);
  ASSERT_TRUE(Pull().ok());
  std::string lease;
  for (const FakeContainerd::Call& call : containerd_.calls()) {
    const bool outside = call.name == "content.Read" || call.name.starts_with("leases.");
    if (!outside) {
      lease = lease.empty() ? call.lease : lease;
      EXPECT_FALSE(call.lease.empty()) << call.name;
      EXPECT_EQ(call.lease, lease) << call.name;
    }
  }
  EXPECT_EQ(containerd_.CallsOf("leases.Create"), 1u);
  EXPECT_EQ(containerd_.calls().back().name, "leases.Delete");
}

TEST_F(PullTest, UnpacksWhatTheSnapshotterDoesNotTake) {
  ShowLazily(0);
  ShowLazily(2);
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->lazy_layers, 2u);
  EXPECT_EQ(report->downloaded_layers, 1u);
  EXPECT_EQ(source_.blobs_streamed(), 2) << "the configuration and one layer";

  const FakeContainerd::State state = containerd_.state();
  ASSERT_TRUE(state.blobs.contains(LayerDigest(1)));
  EXPECT_EQ(state.blobs.at(LayerDigest(1)).content, "layer 1");
  EXPECT_THAT(state.blobs.at(LayerDigest(1)).labels,
              ElementsAre(Pair("containerd.io/distribution.source.ghcr.io", "me/app"),
                          Pair("containerd.io/uncompressed", diff_ids_[1].ToString())));
  ASSERT_THAT(state.applied, SizeIs(1));
  EXPECT_EQ(state.applied[0].diff().digest(), LayerDigest(1));
  ASSERT_EQ(state.applied[0].mounts_size(), 1);
  EXPECT_THAT(state.applied[0].mounts(0).options(0), HasSubstr(ChainId(1)));
  EXPECT_THAT(state.snapshots.at(ChainId(1)).labels,
              ElementsAre(Pair("containerd.io/snapshot.ref", ChainId(1))));
  EXPECT_EQ(state.snapshots.at(ChainId(1)).parent, ChainId(0));
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
}

TEST_F(PullTest, BringsLayersAloneUnderTheClientsLease) {
  ShowLazily(0);
  ShowLazily(1);
  const auto image = oci::SelectImage(source_, kPlatform);
  ASSERT_TRUE(image.ok()) << image.status();
  BytesSink config_bytes;
  ASSERT_TRUE(source_.ReadBlob(image->manifest.config, config_bytes).ok());
  const auto config = oci::ImageConfig::Parse(config_bytes.bytes());
  ASSERT_TRUE(config.ok()) << config.status();
  containerd_.Change([](FakeContainerd::State& state) { state.leases["mine"] = {}; });
  client_.UseLease("mine");
  const auto report = PullLayers(
      client_, source_, *image, config->diff_ids(),
      {.reference = *oci::Reference::Parse(kReference), .labels = LabelsForBuild()}, progress_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->lazy_layers, 2u);
  EXPECT_EQ(report->downloaded_layers, 1u);
  EXPECT_TRUE(containerd_.state().snapshots.contains(ChainId(2)));
  EXPECT_THAT(containerd_.state().snapshots.at(ChainId(1)).labels,
              Contains(Pair("containerd.io/snapshot/starling/for", "build")));
  EXPECT_THAT(containerd_.state().images, IsEmpty());
  for (const FakeContainerd::Call& call : containerd_.calls()) {
    EXPECT_EQ(call.lease, "mine") << call.name;
  }
}

TEST_F(PullTest, UnpacksAllLayersOfAnImageThatNoRegistryHas) {
  ShowAllLazily();
  const auto image = oci::SelectImage(source_, kPlatform);
  BytesSink config_bytes;
  ASSERT_TRUE(source_.ReadBlob(image->manifest.config, config_bytes).ok());
  const auto report =
      PullLayers(client_, source_, *image,
                 oci::ImageConfig::Parse(config_bytes.bytes())->diff_ids(), {}, progress_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->downloaded_layers, 3u);
}

TEST_F(PullTest, ASecondPullAsksTheSourceForTheNameAlone) {
  PutUnderIndex();
  ShowLazily(0);
  ASSERT_TRUE(Pull().ok());
  const int manifests = source_.manifests_read();
  const int blobs = source_.blobs_streamed();
  EXPECT_EQ(manifests, 2);
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->present_layers, 3u);
  EXPECT_EQ(source_.manifests_read(), manifests + 1);
  EXPECT_EQ(source_.blobs_streamed(), blobs);
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
}

TEST_F(PullTest, LayersThatAreThereAreHeldBeforeTheyAreLookedFor) {
  ShowAllLazily();
  ASSERT_TRUE(Pull().ok());
  const auto lease = client_.CreateLease(std::chrono::hours(1));
  ASSERT_TRUE(lease.ok()) << lease.status();
  client_.UseLease(*lease);
  bool held = false;
  containerd_.Before("snapshots.Stat", [&] {
    held = containerd_.state().held[*lease].contains("snapshots/stargz " + ChainId(2));
  });
  const auto image = oci::SelectImage(source_, kPlatform);
  BytesSink config_bytes;
  ASSERT_TRUE(source_.ReadBlob(image->manifest.config, config_bytes).ok());
  const auto report =
      PullLayers(client_, source_, *image,
                 oci::ImageConfig::Parse(config_bytes.bytes())->diff_ids(), {}, progress_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->present_layers, 3u);
  EXPECT_TRUE(held);
}

TEST_F(PullTest, AHeldBlobIsUnpackedWithoutTheSource) {
  containerd_.Change([&](FakeContainerd::State& state) {
    for (size_t i = 0; i < 3; ++i) {
      state.blobs[LayerDigest(i)].content = fmt::format("layer {}", i);
    }
  });
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->downloaded_layers, 3u);
  EXPECT_EQ(source_.blobs_streamed(), 1) << "the configuration";
}

TEST_F(PullTest, LayersThatAnotherPullUnpacksMeanwhileAreNotLazy) {
  containerd_.Before("snapshots.Prepare", [&] {
    containerd_.Change([&](FakeContainerd::State& state) {
      for (size_t layer = 0; layer < 3; ++layer) {
        state.snapshots[ChainId(layer)] = {
            .committed = true,
            .parent = layer == 0 ? "" : ChainId(layer - 1),
            .labels = {{"containerd.io/snapshot.ref", ChainId(layer)}}};
      }
    });
  });
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->present_layers, 3u);
  EXPECT_EQ(report->lazy_layers, 0u);
  EXPECT_EQ(source_.blobs_streamed(), 1);
}

TEST_F(PullTest, AsksOnceForEachLayerThatTheSnapshotterTakes) {
  ShowAllLazily();
  ASSERT_TRUE(Pull().ok());
  EXPECT_EQ(containerd_.CallsOf("snapshots.Prepare"), 3u);
  EXPECT_EQ(containerd_.CallsOf("snapshots.Stat"), 2u) << "is the lowest there, is the topmost";
}

TEST_F(PullTest, ALayerThatAnotherPullCommitsFirstIsFine) {
  containerd_.Before("snapshots.Commit", [&] {
    containerd_.Change(
        [&](FakeContainerd::State& state) { state.snapshots[ChainId(0)].committed = true; });
  });
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->downloaded_layers, 3u);
  EXPECT_EQ(containerd_.CallsOf("snapshots.Remove"), 1u);
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
}

TEST_F(PullTest, TriesAgainWhenWhatExistsDoesNotShow) {
  ShowAllLazily();
  // Once; then it is there as for everybody.
  containerd_.FailNext("snapshots.Prepare", {grpc::StatusCode::ALREADY_EXISTS, "in hand"});
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->lazy_layers, 3u);
  EXPECT_EQ(containerd_.CallsOf("snapshots.Prepare"), 5u) << "of the first two layers twice";
}

TEST_F(PullTest, TriesAgainWhenTheTopmostDoesNotShow) {
  ShowAllLazily();
  containerd_.Before("snapshots.Prepare", [&] {
    if (containerd_.CallsOf("snapshots.Prepare") == 3) {
      containerd_.FailNext("snapshots.Stat", {grpc::StatusCode::NOT_FOUND, "in hand"});
    }
  });
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->lazy_layers, 3u);
  EXPECT_EQ(containerd_.CallsOf("snapshots.Prepare"), 4u);
}

TEST_F(PullTest, GivesUpWhenWhatExistsNeverShows) {
  containerd_.Before("snapshots.Prepare", [&] {
    containerd_.FailNext("snapshots.Stat", {grpc::StatusCode::NOT_FOUND, "hidden"});
  });
  ShowAllLazily();
  const auto report = Pull();
  EXPECT_EQ(report.status().code(), StatusCode::kAborted) << report.status();
  EXPECT_EQ(containerd_.CallsOf("snapshots.Prepare"), 5u) << "of the topmost layer three times";
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
  EXPECT_THAT(containerd_.state().images, IsEmpty());
}

TEST_F(PullTest, AnErrorInTheMiddleLeavesNothingBegun) {
  for (const char* call :
       {"content.Read", "leases.Create", "content.Begin", "content.Data", "content.Commit",
        "snapshots.Prepare", "diff.Apply", "content.Update", "snapshots.Commit", "images.Create"}) {
    SCOPED_TRACE(call);
    const FakeContainerd::State before = containerd_.state();
    containerd_.FailNext(call, {grpc::StatusCode::RESOURCE_EXHAUSTED, "disk full"});
    const auto report = Pull();
    EXPECT_EQ(report.status().code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(Describe(report.status()), HasSubstr("disk full"));
    EXPECT_TRUE(LeavesNothingBegun(containerd_));
    EXPECT_THAT(containerd_.state().images, IsEmpty());
    containerd_.Change([&](FakeContainerd::State& state) { state = before; });
  }
  ASSERT_TRUE(Pull().ok());
}

TEST_F(PullTest, AnErrorOfTheSourceLeavesNothingBegun) {
  ShowLazily(0);
  source_.Fail(manifest_.layers[2].digest, MakeError(StatusCode::kUnavailable, "gone"));
  const auto report = Pull();
  EXPECT_EQ(report.status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
  EXPECT_THAT(containerd_.state().images, IsEmpty());
}

TEST_F(PullTest, RefusesALayerThatIsNotWhatTheConfigurationSays) {
  containerd_.Change([&](FakeContainerd::State& state) {
    state.diff_ids[LayerDigest(1)] = oci::Digest::Of(AsBytes("another tar")).ToString();
  });
  const auto report = Pull();
  EXPECT_EQ(report.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(Describe(report.status()), HasSubstr("the configuration says"));
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
  EXPECT_FALSE(containerd_.state().snapshots.contains(ChainId(1)));
}

TEST_F(PullTest, RefusesDocumentsThatDoNotFit) {
  const struct {
    const char* name;
    std::function<void(oci::Manifest&)> change;
    StatusCode want;
  } cases[] = {
      {"a layer too few", [](oci::Manifest& manifest) { manifest.layers.pop_back(); },
       StatusCode::kDataLoss},
      {"a configuration without end",
       [](oci::Manifest& manifest) { manifest.config.size_bytes = uint64_t{1} << 40; },
       StatusCode::kResourceExhausted},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    oci::Manifest manifest = manifest_;
    c.change(manifest);
    source_.SetTop(source_.Add(manifest));
    EXPECT_EQ(Pull().status().code(), c.want);
    EXPECT_TRUE(LeavesNothingBegun(containerd_));
    EXPECT_THAT(containerd_.state().blobs, IsEmpty());
  }
}

TEST_F(PullTest, LabelsOfAnImageWithManyLayersStayInTheirLimit) {
  MakeImage(70);
  ShowAllLazily();
  const auto report = Pull();
  ASSERT_TRUE(report.ok()) << report.status();
  constexpr size_t kLimitBytes = 4096;
  for (const auto& [name, snapshot] : containerd_.state().snapshots) {
    for (const auto& [key, value] : snapshot.labels) {
      EXPECT_LE(key.size() + value.size(), kLimitBytes) << key;
    }
  }
  const auto names_lazy_layers = [this](size_t layer) {
    return containerd_.state().snapshots.at(ChainId(layer)).labels.contains(
        "containerd.io/snapshot/starling/lazy-layers");
  };
  EXPECT_FALSE(names_lazy_layers(0)) << "some of them are worth nothing";
  EXPECT_TRUE(names_lazy_layers(60));
}

/// Asks for a stop as soon as the work comes to a part.
class StopAt : public Progress {
 public:
  StopAt(std::stop_source& stop, std::string part) : stop_(stop), part_(std::move(part)) {}
  void Begin(const std::string& part, uint64_t) override {
    if (part_.starts_with(part)) {
      stop_.request_stop();
    }
  }
  void Advance(const std::string&, uint64_t) override {}
  void End(const std::string&, const std::string&) override {}

 private:
  std::stop_source& stop_;
  const std::string part_;
};

TEST_F(PullTest, StopsInTheMiddleOfALayer) {
  StopAt progress(stop_, LayerDigest(1));
  const auto report = Pull(progress);
  EXPECT_EQ(report.status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
  EXPECT_THAT(containerd_.state().images, IsEmpty());
  EXPECT_FALSE(containerd_.state().blobs.contains(LayerDigest(1)));
  EXPECT_EQ(containerd_.CallsOf("diff.Apply"), 1u) << "of the layer before";
}

TEST_F(PullTest, StopsBetweenLayers) {
  ShowAllLazily();
  StopAt progress(stop_, LayerDigest(1));
  const auto report = Pull(progress);
  EXPECT_EQ(report.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(containerd_.CallsOf("snapshots.Prepare"), 2u);
  EXPECT_TRUE(LeavesNothingBegun(containerd_));
}

}  // namespace
}  // namespace starling::containerd
