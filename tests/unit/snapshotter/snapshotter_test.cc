#include "snapshotter/snapshotter.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/temp_dir.h"
#include "oci/descriptor.h"
#include "snapshotter/labels.h"
#include "tests/support/snapshot_fixture.h"

namespace starling::snapshotter {
namespace {

namespace fs = std::filesystem;
using testing_support::FakeLayerMounter;
using testing_support::LazyLabels;
using testing_support::SnapshotterLife;

class SnapshotterTest : public testing::Test {
 protected:
  SnapshotterTest() : dir_(*TempDir::Make("/tmp", "snapshotter")), life_(dir_.path() / "root") {}

  void MakeCommitted(const std::string& name, const std::string& parent) {
    ASSERT_TRUE(life_->Prepare(name + "-active", parent, {}).ok());
    ASSERT_TRUE(life_->Commit(name + "-active", name, "", {}).ok());
  }
  void MakeLazy(const std::string& ref, const std::string& parent) {
    const auto prepared = life_->Prepare("extract " + ref, parent, LazyLabels(ref));
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    ASSERT_EQ(prepared->remote, Snapshotter::Remote::kPrepared) << prepared->refusal;
  }
  fs::path Root() const { return dir_.path() / "root"; }
  std::string Lowerdir(const std::vector<Mount>& mounts) {
    for (const std::string& option : mounts.at(0).options) {
      if (option.starts_with("lowerdir=")) {
        return option.substr(9);
      }
    }
    return mounts.at(0).source;
  }

  TempDir dir_;
  SnapshotterLife life_;
};

TEST_F(SnapshotterTest, PrepareMakesPrivateDirectoriesWithAnOpenRoot) {
  const mode_t before = ::umask(0077);
  const auto prepared = life_->Prepare("a", "", {});
  ::umask(before);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->remote, Snapshotter::Remote::kNotAsked);
  EXPECT_EQ(prepared->mounts,
            (std::vector<Mount>{
                {.type = "bind", .source = Root() / "s/1/fs", .options = {"rw", "rbind"}}}));
  const auto mode = [this](const char* path) {
    struct stat entry{};
    EXPECT_EQ(::stat((Root() / path).c_str(), &entry), 0) << path;
    return entry.st_mode & 0777;
  };
  EXPECT_EQ(mode("s"), 0700U);
  EXPECT_EQ(mode("s/1/fs"), 0755U);
}

TEST_F(SnapshotterTest, AChildStartsWithTheOwnerAndModeOfItsParentsRoot) {
  MakeCommitted("A", "");
  ASSERT_EQ(::chown((Root() / "s/1/fs").c_str(), 12, 34), 0);
  ASSERT_EQ(::chmod((Root() / "s/1/fs").c_str(), 01750), 0);
  ASSERT_TRUE(life_->Prepare("b", "A", {}).ok());
  struct stat entry{};
  ASSERT_EQ(::stat((Root() / "s/2/fs").c_str(), &entry), 0);
  EXPECT_EQ(entry.st_uid, 12U);
  EXPECT_EQ(entry.st_gid, 34U);
  EXPECT_EQ(entry.st_mode & 07777, 01750U);
}

const Labels kMapped = {{"containerd.io/snapshot/uidmapping", "0:100000:65536"},
                        {"containerd.io/snapshot/gidmapping", "0:200000:65536"}};

TEST_F(SnapshotterTest, AContainerWithMappedIdsOwnsItsRootAndSeesItsLayersMapped) {
  MakeLazy("sha256:1", "");
  const std::string name = RemoteSnapshotName("sha256:1", "");
  const auto prepared = life_->Prepare("c", name, kMapped);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const std::vector<std::string>& options = prepared->mounts.at(0).options;
  EXPECT_EQ(std::vector<std::string>(options.begin(), options.begin() + 2),
            (std::vector<std::string>{"uidmap=0:100000:65536", "gidmap=0:200000:65536"}));
  EXPECT_EQ(*life_->Mounts("c"), prepared->mounts);
  struct stat entry{};
  ASSERT_EQ(::stat((Root() / "s/2/fs").c_str(), &entry), 0);
  EXPECT_EQ(entry.st_uid, 100000U);
  EXPECT_EQ(entry.st_gid, 200000U);

  const auto view = life_->View("v", name, kMapped);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->at(0).type, "bind");
  EXPECT_EQ(view->at(0).options, (std::vector<std::string>{"ro", "rbind", "uidmap=0:100000:65536",
                                                           "gidmap=0:200000:65536"}));

  life_.Restart();
  EXPECT_EQ(*life_->Mounts("c"), prepared->mounts);
}

TEST_F(SnapshotterTest, WhatHasNoParentIsOwnedAndNotMapped) {
  const auto prepared = life_->Prepare("c", "", kMapped);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->mounts.at(0).options, (std::vector<std::string>{"rw", "rbind"}));
  struct stat entry{};
  ASSERT_EQ(::stat((Root() / "s/1/fs").c_str(), &entry), 0);
  EXPECT_EQ(entry.st_uid, 100000U);
}

TEST_F(SnapshotterTest, WhatTheClientHasMappedItselfIsNotMappedTwice) {
  MakeCommitted("A-remap", "");
  ASSERT_EQ(::chown((Root() / "s/1/fs").c_str(), 100000, 200000), 0);
  const auto prepared = life_->Prepare("c", "A-remap", kMapped);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_TRUE(prepared->mounts.at(0).options.at(0).starts_with("workdir="));
}

TEST_F(SnapshotterTest, WhereIdsCannotBeMappedAPrepareSaysWhatToDo) {
  MakeCommitted("A", "");
  life_.RefuseIdMapping(MakeError(StatusCode::kUnimplemented, "an old kernel"));
  life_.Restart();
  const Status refused = life_->Prepare("c", "A", kMapped).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("an old kernel"), std::string::npos) << refused;
  EXPECT_NE(refused.message().find("remap-ids"), std::string::npos) << refused;
  EXPECT_EQ(life_->Stat("c").status().code(), StatusCode::kNotFound);

  ASSERT_EQ(::chown((Root() / "s/1/fs").c_str(), 100000, 200000), 0);
  EXPECT_TRUE(life_->Prepare("c", "A", kMapped).ok()) << "what the client mapped itself";
  EXPECT_TRUE(life_->Prepare("d", "A", {}).ok());
}

TEST_F(SnapshotterTest, AMappingThatIsNoneIsRefused) {
  MakeCommitted("A", "");
  const Labels bad = {{"containerd.io/snapshot/uidmapping", "0:1"},
                      {"containerd.io/snapshot/gidmapping", "0:1:1"}};
  EXPECT_EQ(life_->Prepare("c", "A", bad).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(life_->Stat("c").status().code(), StatusCode::kNotFound);
}

TEST_F(SnapshotterTest, MountsAreTheSameEveryTime) {
  MakeCommitted("A", "");
  MakeCommitted("B", "A");
  const auto prepared = life_->Prepare("c", "B", {});
  ASSERT_TRUE(prepared.ok());
  EXPECT_EQ(Lowerdir(prepared->mounts),
            (Root() / "s/2/fs").string() + ":" + (Root() / "s/1/fs").string());
  EXPECT_EQ(*life_->Mounts("c"), prepared->mounts);
  EXPECT_EQ(life_->Mounts("B").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(life_->Mounts("nope").status().code(), StatusCode::kNotFound);
}

TEST_F(SnapshotterTest, AFailedPrepareLeavesNoDirectory) {
  EXPECT_EQ(life_->Prepare("a", "nope", {}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(life_->View("", "", {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::is_empty(Root() / "s"));
}

TEST_F(SnapshotterTest, UsageOfAnActiveSnapshotIsWhatItHoldsNow) {
  ASSERT_TRUE(life_->Prepare("a", "", {}).ok());
  EXPECT_EQ(life_->UsageOf("a")->inodes, 1U);
  std::ofstream(Root() / "s/1/fs/file") << std::string(100'000, 'x');
  EXPECT_EQ(life_->UsageOf("a")->inodes, 2U);
  EXPECT_GE(life_->UsageOf("a")->size_bytes, 100'000U);
  ASSERT_TRUE(life_->View("v", "", {}).ok());
  EXPECT_EQ(*life_->UsageOf("v"), Usage());
}

TEST_F(SnapshotterTest, UsageOfACommittedSnapshotIsCountedOnce) {
  ASSERT_TRUE(life_->Prepare("a", "", {}).ok());
  std::ofstream(Root() / "s/1/fs/file") << "x";
  ASSERT_TRUE(life_->Commit("a", "A", "", {}).ok());
  EXPECT_EQ(life_.metadata().FindUsage("A")->usage, std::nullopt) << "commit walks no tree";
  const Usage usage = *life_->UsageOf("A");
  EXPECT_EQ(usage.inodes, 2U);
  std::ofstream(Root() / "s/1/fs/another") << "x";
  EXPECT_EQ(*life_->UsageOf("A"), usage);
}

TEST_F(SnapshotterTest, RemoveFreesTheNameAndCleanupTheFiles) {
  ASSERT_TRUE(life_->Prepare("a", "", {}).ok());
  ASSERT_TRUE(life_->Remove("a").ok());
  EXPECT_TRUE(fs::exists(Root() / "s/1"));
  EXPECT_TRUE(life_->View("a", "", {}).ok());
  const auto cleaned = life_->Cleanup();
  ASSERT_TRUE(cleaned.ok());
  EXPECT_EQ(cleaned->snapshots, 1U);
  EXPECT_TRUE(cleaned->failures.empty());
  EXPECT_FALSE(fs::exists(Root() / "s/1"));
  EXPECT_TRUE(fs::exists(Root() / "s/2"));
  EXPECT_EQ(life_->Cleanup()->snapshots, 0U);
}

TEST_F(SnapshotterTest, ALazyLayerIsCommittedWithItsLabels) {
  MakeLazy("sha256:chain", "");
  const std::string name = RemoteSnapshotName("sha256:chain", "");
  const auto infos = life_->List(*Filter::Parse(std::vector<std::string>{
      "labels.\"containerd.io/snapshot.ref\"==sha256:chain,parent==\"\""}));
  ASSERT_EQ(infos->size(), 1U) << "this is how containerd finds it";
  EXPECT_EQ(infos->front().name, name);
  EXPECT_EQ(infos->front().kind, Kind::kCommitted);
  Labels want = LazyLabels("sha256:chain");
  want["containerd.io/snapshot/remote"] = "remote snapshot";
  EXPECT_EQ(infos->front().labels, want);
  EXPECT_EQ(*life_->UsageOf(name), (Usage{.size_bytes = FakeLayerMounter::kSizeBytes,
                                          .inodes = FakeLayerMounter::kInodes}));
  EXPECT_EQ(life_->Stat("extract sha256:chain").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(fs::is_empty(Root() / "s"));
  EXPECT_EQ(life_.layers().numbers(), std::vector<uint64_t>{1});
  EXPECT_EQ(life_.layers().requests().at(0).image_reference, "docker.io/library/x:1");
}

TEST_F(SnapshotterTest, LazyAndOrdinaryLayersMix) {
  MakeLazy("one", "");
  MakeCommitted("two", RemoteSnapshotName("one", ""));
  MakeLazy("three", "two");
  const auto prepared = life_->Prepare("c", RemoteSnapshotName("three", "two"), {});
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(Lowerdir(prepared->mounts), (Root() / "l/2").string() + ":" +
                                            (Root() / "s/2/fs").string() + ":" +
                                            (Root() / "l/1").string());
  const auto view = life_->View("v", RemoteSnapshotName("one", ""), {});
  EXPECT_EQ(view->at(0),
            (Mount{.type = "bind", .source = Root() / "l/1", .options = {"ro", "rbind"}}));
}

TEST_F(SnapshotterTest, LazyLayersBelowTheLowestOrdinaryOneAreOneDirectory) {
  using Numbers = std::vector<uint64_t>;
  FakeLayerMounter& layers = life_.layers();
  layers.MergeChains();
  MakeLazy("sha256:1", "");
  const std::string one = RemoteSnapshotName("sha256:1", "");
  ASSERT_TRUE(life_->View("of one", one, {}).ok());
  EXPECT_EQ(layers.chains(), std::vector<Numbers>{{layers.numbers().at(0)}})
      << "an overlay of one layer is told, too";
  MakeLazy("sha256:2", one);
  const std::string two = RemoteSnapshotName("sha256:2", one);
  EXPECT_EQ(layers.chains().size(), 1U) << "a lazy snapshot needs nothing below it";
  const uint64_t bottom = layers.numbers().at(0);
  const uint64_t top = layers.numbers().at(1);
  const std::string merged = layers.ChainPathOf(top).string();

  const auto prepared = life_->Prepare("a", two, {});
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(layers.chains().back(), (Numbers{bottom, top}));
  EXPECT_EQ(Lowerdir(prepared->mounts), merged);
  EXPECT_EQ(prepared->mounts.at(0).type, "overlay") << "there is an upper directory";
  EXPECT_EQ(*life_->Mounts("a"), prepared->mounts);
  const auto view = life_->View("v", two, {});
  EXPECT_EQ(view->at(0).type, "bind");
  EXPECT_EQ(view->at(0).source, merged);

  ASSERT_TRUE(life_->Commit("a", "A", "", {}).ok());
  MakeLazy("sha256:3", "A");
  const auto above = life_->Prepare("b", RemoteSnapshotName("sha256:3", "A"), {});
  ASSERT_TRUE(above.ok()) << above.status();
  EXPECT_EQ(layers.chains().back(), (Numbers{bottom, top})) << "what stands above stands alone";
  const std::string lower = Lowerdir(above->mounts);
  EXPECT_TRUE(lower.starts_with(layers.PathOf(layers.numbers().back()).string() + ":")) << lower;
  EXPECT_TRUE(lower.ends_with("/fs:" + merged)) << lower;

  life_.Restart();
  EXPECT_EQ(*life_->Mounts("b"), above->mounts);
}

TEST_F(SnapshotterTest, TellsWhoReadsALayer) {
  const std::pair<std::string, std::string> for_build = {"containerd.io/snapshot/starling/for",
                                                         "build"};
  Labels labels = LazyLabels("sha256:1");
  labels.insert(for_build);
  ASSERT_TRUE(life_->Prepare("extract", "", labels).ok());
  FakeLayerMounter& layers = life_.layers();
  EXPECT_EQ(layers.requests().at(0).reader, Reader::kBuild);
  const std::string one = RemoteSnapshotName("sha256:1", "");
  ASSERT_TRUE(life_->Prepare("step", one, {for_build}).ok());
  ASSERT_TRUE(life_->Mounts("step").ok());
  ASSERT_TRUE(life_->View("sources", one, {for_build}).ok());
  ASSERT_TRUE(life_->Prepare("container", one, {}).ok());
  EXPECT_EQ(layers.readers(), (std::vector<Reader>{Reader::kBuild, Reader::kBuild, Reader::kBuild,
                                                   Reader::kContainer}));
  life_.Restart();
  EXPECT_EQ(life_.layers().requests().at(1).reader, Reader::kBuild) << "also after a restart";
}

TEST_F(SnapshotterTest, WithoutAMergedChainEachLayerIsADirectory) {
  MakeLazy("sha256:1", "");
  const std::string one = RemoteSnapshotName("sha256:1", "");
  MakeLazy("sha256:2", one);
  const auto prepared = life_->Prepare("a", RemoteSnapshotName("sha256:2", one), {});
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(life_.layers().chains().size(), 1U) << "asked for";
  const std::vector<uint64_t> numbers = life_.layers().numbers();
  EXPECT_EQ(Lowerdir(prepared->mounts), life_.layers().PathOf(numbers.at(1)).string() + ":" +
                                            life_.layers().PathOf(numbers.at(0)).string());
}

TEST_F(SnapshotterTest, TheSameChainOverTwoParentsIsTwoSnapshots) {
  MakeCommitted("unpacked", "");
  MakeLazy("one", "");
  MakeLazy("two", RemoteSnapshotName("one", ""));
  MakeLazy("two", "unpacked");
  EXPECT_EQ(life_.layers().mounts(), 3U);
}

TEST_F(SnapshotterTest, ALayerKnowsItsChainIdAndThatBelow) {
  const auto ref = [](char digit) { return "sha256:" + std::string(64, digit); };
  const auto digest = [&ref](char digit) { return *oci::Digest::Parse(ref(digit)); };
  const std::string unpacked = "default/1/" + ref('9');
  MakeCommitted(unpacked, "");
  MakeCommitted("default/2/container", "");
  MakeLazy(ref('1'), "");
  MakeLazy(ref('2'), RemoteSnapshotName(ref('1'), ""));
  MakeLazy(ref('3'), unpacked);
  MakeLazy(ref('4'), "default/2/container");
  MakeLazy("no digest", "");
  using Chains = std::pair<std::optional<oci::Digest>, std::optional<oci::Digest>>;
  const std::vector<Chains> want = {{digest('1'), std::nullopt},
                                    {digest('2'), digest('1')},
                                    {digest('3'), digest('9')},
                                    {std::nullopt, std::nullopt},
                                    {std::nullopt, std::nullopt}};
  const auto asked = [this](size_t from) {
    const std::vector<LayerRequest> requests = life_.layers().requests();
    std::vector<Chains> chains;
    for (size_t i = from; i < requests.size(); ++i) {
      chains.emplace_back(requests[i].chain, requests[i].parent_chain);
    }
    return chains;
  };
  EXPECT_EQ(asked(0), want);
  life_.Restart();
  EXPECT_EQ(asked(want.size()), want) << "also after a restart";
}

TEST_F(SnapshotterTest, ASecondPrepareOfALayerIsAnsweredAtOnce) {
  MakeLazy("one", "");
  const auto again = life_->Prepare("other namespace", "", LazyLabels("one"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->remote, Snapshotter::Remote::kPrepared);
  EXPECT_EQ(life_.layers().mounts(), 1U);
  EXPECT_EQ(life_->List(*Filter::Parse({}))->size(), 1U);
}

TEST_F(SnapshotterTest, RacingPreparesOfALayerMountItOnce) {
  life_.layers().HoldMounts();
  std::vector<std::thread> pulls;
  std::atomic<int> prepared = 0;
  for (int i = 0; i < 4; ++i) {
    pulls.emplace_back([this, i, &prepared] {
      const auto answer = life_->Prepare("pull " + std::to_string(i), "", LazyLabels("one"));
      prepared += answer.ok() && answer->remote == Snapshotter::Remote::kPrepared ? 1 : 0;
    });
  }
  life_.layers().WaitForMounts(1);
  life_.layers().LetMountsGo();
  for (std::thread& pull : pulls) {
    pull.join();
  }
  EXPECT_EQ(prepared, 4);
  EXPECT_EQ(life_.layers().mounts(), 1U);
}

TEST_F(SnapshotterTest, ARefusedLayerBecomesAnOrdinarySnapshot) {
  life_.layers().FailMounts(MakeError(StatusCode::kUnavailable, "the registry is away"));
  const auto prepared = life_->Prepare("extract", "", LazyLabels("one"));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->remote, Snapshotter::Remote::kRefused);
  EXPECT_EQ(prepared->refusal.code(), StatusCode::kUnavailable);
  EXPECT_EQ(prepared->mounts.size(), 1U);
  EXPECT_EQ(life_->Stat("extract")->kind, Kind::kActive);
  EXPECT_TRUE(life_.metadata().Layers()->empty());

  // containerd unpacks into it; the next layer may be lazy again, under a new number.
  ASSERT_TRUE(life_->Commit("extract", "unpacked", "", {}).ok());
  life_.layers().FailMounts(OkStatus());
  MakeLazy("two", "unpacked");
  EXPECT_EQ(life_.layers().numbers(), (std::vector<uint64_t>{1, 2}));
}

Labels PlainLabels(const std::string& ref) {
  Labels labels = LazyLabels(ref);
  labels.erase(std::string(oci::annotation::kTocDigest));
  labels["containerd.io/snapshot/remote/stargz.skipverify"] = "true";
  return labels;
}

TEST_F(SnapshotterTest, APlainLayerIsMountedAsWhatItIs) {
  const auto prepared = life_->Prepare("extract", "", PlainLabels("one"));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->remote, Snapshotter::Remote::kPrepared);
  EXPECT_EQ(prepared->fetch, Snapshotter::Fetch::kWhole);
  const LayerRequest asked = life_.layers().requests().at(0);
  EXPECT_TRUE(oci::IsPlain(asked.layer, asked.toc));
  EXPECT_EQ(life_->Prepare("again", "", PlainLabels("one"))->fetch, Snapshotter::Fetch::kPresent);
  EXPECT_EQ(life_->Prepare("lazy", "", LazyLabels("two"))->fetch, Snapshotter::Fetch::kLazy);
  life_.Restart();
  const LayerRequest restored = life_.layers().requests().at(2);
  EXPECT_TRUE(oci::IsPlain(restored.layer, restored.toc)) << "a restart keeps it";
}

TEST_F(SnapshotterTest, APlainLayerThatCannotBeFetchedBecomesAnOrdinarySnapshot) {
  life_.layers().FailMounts(MakeError(StatusCode::kUnimplemented, "a sparse file"));
  const auto prepared = life_->Prepare("extract", "", PlainLabels("one"));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->remote, Snapshotter::Remote::kRefused);
  EXPECT_EQ(prepared->mounts.size(), 1U);
  EXPECT_TRUE(life_.metadata().Layers()->empty());
}

TEST_F(SnapshotterTest, PlainLayersMayBeLeftToContainerd) {
  auto opened = Snapshotter::Open(
      {.root = Root(), .overlay = {}, .plain_layers = Snapshotter::PlainLayers::kContainerd},
      {.metadata = life_.metadata(), .layers = life_.layers()});
  ASSERT_TRUE(opened.ok()) << opened.status();
  const auto prepared = (*opened)->Prepare("extract", "", PlainLabels("one"));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->remote, Snapshotter::Remote::kRefused);
  EXPECT_EQ(prepared->refusal.code(), StatusCode::kNotFound) << prepared->refusal;
  EXPECT_EQ(life_.layers().mounts(), 0U);
  EXPECT_EQ((*opened)->Prepare("lazy", "", LazyLabels("two"))->remote,
            Snapshotter::Remote::kPrepared);
}

TEST_F(SnapshotterTest, RemovingALazySnapshotDiscardsItsLayer) {
  MakeLazy("one", "");
  const std::string name = RemoteSnapshotName("one", "");
  ASSERT_TRUE(life_->Prepare("c", name, {}).ok());
  EXPECT_EQ(life_->Remove(name).code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(life_->Remove("c").ok());
  ASSERT_TRUE(life_->Remove(name).ok());
  EXPECT_TRUE(life_.layers().discarded().empty()) << "not inside the garbage collector's pass";
  EXPECT_EQ(life_->Cleanup()->snapshots, 2U);
  EXPECT_EQ(life_.layers().discarded(), std::vector<uint64_t>{1});
  EXPECT_TRUE(life_.metadata().Layers()->empty());
}

TEST_F(SnapshotterTest, CleanupTriesABusyLayerAgain) {
  MakeLazy("one", "");
  ASSERT_TRUE(life_->Remove(RemoteSnapshotName("one", "")).ok()) << "EBUSY never surfaces here";
  life_.layers().FailDiscards(ErrnoError(EBUSY, "umount"));
  const auto cleaned = life_->Cleanup();
  ASSERT_TRUE(cleaned.ok());
  EXPECT_EQ(cleaned->snapshots, 0U);
  EXPECT_EQ(cleaned->failures.size(), 1U);
  life_.layers().FailDiscards(OkStatus());
  EXPECT_EQ(life_->Cleanup()->snapshots, 1U);
}

TEST_F(SnapshotterTest, ARestartShowsLazyLayersFromDiskAlone) {
  MakeLazy("one", "");
  ASSERT_TRUE(life_->Prepare("c", RemoteSnapshotName("one", ""), {}).ok());
  const auto before = *life_->Mounts("c");
  const size_t discards = life_.layers().discards_of_others();
  life_.Restart();
  EXPECT_EQ(life_.layers().mounts(), 1U) << "no network at start";
  EXPECT_EQ(life_.layers().restores(), 1U);
  EXPECT_EQ(life_.layers().discards_of_others(), discards + 1) << "what no snapshot has goes";
  EXPECT_EQ(*life_->Mounts("c"), before);
  EXPECT_TRUE(life_->startup_problems().empty());
}

TEST_F(SnapshotterTest, LayersAreServedOnceAllOfThemAreRestored) {
  MakeLazy("one", "");
  MakeLazy("two", RemoteSnapshotName("one", ""));
  const uint64_t lost = *life_.metadata().AddLayer({});
  const size_t discards = life_.layers().discards_of_others();
  life_.Restart();
  EXPECT_EQ(life_.layers().restores_before_serving(), 3U);
  EXPECT_EQ(life_.layers().discards_before_serving(), discards) << "those may need answers";
  EXPECT_EQ(life_.layers().discarded(), std::vector<uint64_t>{lost});
}

TEST_F(SnapshotterTest, DoesNotOpenWhereLayersCannotBeServed) {
  life_.layers().FailServing(MakeError(StatusCode::kInternal, "no device"));
  EXPECT_EQ(snapshotter::Snapshotter::Open({.root = Root(), .overlay = {}},
                                           {.metadata = life_.metadata(), .layers = life_.layers()})
                .status()
                .code(),
            StatusCode::kInternal);
}

TEST_F(SnapshotterTest, ALayerThatCannotBeShownHoldsUpOnlyItsOwnSnapshots) {
  MakeLazy("one", "");
  ASSERT_TRUE(life_->Prepare("c", RemoteSnapshotName("one", ""), {}).ok());
  life_.layers().FailRestores(MakeError(StatusCode::kDataLoss, "damaged"));
  const size_t discards = life_.layers().discards_of_others();
  life_.Restart();
  EXPECT_EQ(life_->startup_problems().size(), 1U);
  EXPECT_EQ(life_.layers().discards_of_others(), discards) << "its data might go with the rest";
  EXPECT_EQ(life_->Mounts("c").status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(life_->Prepare("other", "", {}).ok());
  EXPECT_EQ(life_.layers().mounts(), 1U);

  life_.layers().FailRestores(OkStatus());
  EXPECT_TRUE(life_->Mounts("c").ok());
}

TEST_F(SnapshotterTest, ALayerThatTheDiskHasLostIsMountedAgain) {
  MakeLazy("one", "");
  ASSERT_TRUE(life_->Prepare("c", RemoteSnapshotName("one", ""), {}).ok());
  life_.layers().FailRestores(MakeError(StatusCode::kNotFound, "not stored"));
  life_.Restart();
  EXPECT_EQ(life_.layers().mounts(), 1U) << "not at start";
  EXPECT_TRUE(life_->Mounts("c").ok());
  EXPECT_EQ(life_.layers().mounts(), 2U);
}

TEST_F(SnapshotterTest, AStartClearsWhatACrashLeft) {
  MakeLazy("one", "");
  ASSERT_TRUE(life_->Remove(RemoteSnapshotName("one", "")).ok());
  ASSERT_TRUE(life_->Prepare("kept", "", {}).ok());
  ASSERT_TRUE(life_->Prepare("gone", "", {}).ok());
  ASSERT_TRUE(life_->Remove("gone").ok());
  // A crash between a directory and its row, and between a layer and its snapshot.
  fs::create_directories(Root() / "s/99/fs");
  fs::create_directories(Root() / "s/not ours");
  const uint64_t lost = *life_.metadata().AddLayer({});
  life_.Restart();
  EXPECT_TRUE(fs::exists(Root() / "s/2/fs"));
  EXPECT_FALSE(fs::exists(Root() / "s/3"));
  EXPECT_FALSE(fs::exists(Root() / "s/99"));
  EXPECT_TRUE(fs::exists(Root() / "s/not ours"));
  EXPECT_EQ(life_.layers().discarded(), (std::vector<uint64_t>{lost, 1}));
  EXPECT_TRUE(life_.metadata().Layers()->empty());
  EXPECT_TRUE(life_.metadata().Removed()->empty());
}

}  // namespace
}  // namespace starling::snapshotter
