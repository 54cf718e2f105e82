#include "standalone/snapshots_service.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/unit/standalone/standalone_fixture.h"

namespace starling::standalone {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using testing_support::kLayerDigest;
using testing_support::LazyLabels;

const std::string kChain = "sha256:" + std::string(64, 'c');

class SnapshotsServiceTest : public StandaloneFixture {};

TEST_F(SnapshotsServiceTest, GivesNamesOfItsOwn) {
  ASSERT_TRUE(Commit(client_, "base", "").ok());
  const auto mounts = client_.PrepareSnapshot(kSnapshotter, "k", "base", {});
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  EXPECT_EQ(mounts->front().type, "overlay");
  ASSERT_TRUE(client_.ViewSnapshot(kSnapshotter, "v", "base").ok());
  EXPECT_THAT(Snapshots(), ElementsAre(EndsWith("/base"), EndsWith("/base"), EndsWith("/base")));
  for (const std::string& name : Snapshots()) {
    EXPECT_THAT(name, StartsWith("standalone/"));
  }
  // Of two snapshotters that a containerd would have, there is one here.
  EXPECT_TRUE(client_.StatSnapshot("another name", "base").ok());
  ASSERT_TRUE(client_.RemoveSnapshot(kSnapshotter, "k").ok());
  ASSERT_TRUE(client_.RemoveSnapshot(kSnapshotter, "v").ok());
  ASSERT_TRUE(client_.RemoveSnapshot(kSnapshotter, "base").ok());
  EXPECT_THAT(Snapshots(), IsEmpty());
}

TEST_F(SnapshotsServiceTest, ErrorsSpeakOfTheNamesThatWereAskedFor) {
  const Status none = client_.StatSnapshot(kSnapshotter, "none").status();
  EXPECT_EQ(none.code(), StatusCode::kNotFound);
  EXPECT_THAT(Describe(none), HasSubstr("\"none\""));
  EXPECT_EQ(client_.PrepareSnapshot(kSnapshotter, "k", "none", {}).status().code(),
            StatusCode::kNotFound);
  ASSERT_TRUE(Commit(client_, "base", "").ok());
  EXPECT_EQ(Commit(client_, "base", "").code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(Commit(client_, "top", "base").ok());
  const Status parent = client_.RemoveSnapshot(kSnapshotter, "base");
  EXPECT_EQ(parent.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Describe(parent), Not(HasSubstr("standalone/")));
}

TEST_F(SnapshotsServiceTest, LazyLayersHaveTheNameThatWasAskedFor) {
  const Status there =
      client_.PrepareSnapshot(kSnapshotter, "extract", "", LazyLabels(kChain)).status();
  EXPECT_EQ(there.code(), StatusCode::kAlreadyExists);
  const auto labels = client_.StatSnapshot(kSnapshotter, kChain);
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_EQ(labels->at("containerd.io/snapshot.ref"), kChain);
  EXPECT_TRUE(labels->contains("containerd.io/snapshot/remote"));
  ASSERT_EQ(life_.layers().requests().size(), 1);
  EXPECT_EQ(life_.layers().requests()[0].layer.ToString(), kLayerDigest);
  EXPECT_EQ(life_.layers().requests()[0].chain->ToString(), kChain) << "for merged mounts";
  // What stands on it has the layer below, and the same once more costs nothing.
  ASSERT_TRUE(client_.PrepareSnapshot(kSnapshotter, "k", kChain, {}).ok());
  EXPECT_EQ(client_.PrepareSnapshot(kSnapshotter, "again", "", LazyLabels(kChain)).status().code(),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(life_.layers().mounts(), 1);
}

TEST_F(SnapshotsServiceTest, OthersAreNeitherSeenNorRemoved) {
  ASSERT_TRUE(life_->Prepare("default/1/key", "", {}).ok());
  ASSERT_TRUE(life_->Commit("default/1/key", "default/2/" + kChain, "", {}).ok());
  EXPECT_EQ(life_->Prepare("default/3/x", "", LazyLabels(kChain))->remote,
            snapshotter::Snapshotter::Remote::kPrepared);
  ASSERT_TRUE(life_->Prepare("standalone/0123/other-store", "", {}).ok());
  const std::vector<std::string> before = Snapshots();

  EXPECT_EQ(client_.StatSnapshot(kSnapshotter, kChain).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(client_.RemoveSnapshot(kSnapshotter, "default/2/" + kChain).code(),
            StatusCode::kNotFound);
  EXPECT_EQ(
      client_.PrepareSnapshot(kSnapshotter, "extract", "", LazyLabels(kChain)).status().code(),
      StatusCode::kAlreadyExists);
  EXPECT_EQ(Snapshots().size(), before.size() + 1) << "it has one of its own";
  ASSERT_TRUE(server_->Collect().ok());
  EXPECT_EQ(Snapshots(), before);
}

TEST_F(SnapshotsServiceTest, WhatALeaseHoldsIsHeldBeforeItIsThere) {
  const std::unique_ptr<Server> other = Start();
  auto lease = containerd::ScopedLease::Take(client_, "build");
  ASSERT_TRUE(lease.ok()) << lease.status();
  life_.layers().HoldMounts();
  std::thread pull([this] {
    EXPECT_EQ(
        client_.PrepareSnapshot(kSnapshotter, "extract", "", LazyLabels(kChain)).status().code(),
        StatusCode::kAlreadyExists);
  });
  life_.layers().WaitForMounts(1);
  EXPECT_TRUE(other->Collect().ok()) << "a pull that takes long holds nobody up";
  life_.layers().LetMountsGo();
  pull.join();
  ASSERT_TRUE(client_.PrepareSnapshot(kSnapshotter, "k", kChain, {}).ok());
  ASSERT_TRUE(client_.CommitSnapshot(kSnapshotter, "top", "k", {}).ok());
  ASSERT_TRUE(client_.ViewSnapshot(kSnapshotter, "view", "top").ok());
  EXPECT_EQ(other->Collect()->snapshots, 0);
  EXPECT_EQ(Snapshots().size(), 3);

  ASSERT_TRUE(lease->Release().ok());
  EXPECT_EQ(other->Collect()->snapshots, 3);
  EXPECT_THAT(Snapshots(), IsEmpty());
  EXPECT_EQ(life_.layers().discarded().size(), 1) << "the layer is unmounted";
}

TEST_F(SnapshotsServiceTest, SaysThatStarlingdIsAway) {
  starlingd_.reset();
  const Status away = client_.StatSnapshot(kSnapshotter, "s").status();
  EXPECT_EQ(away.code(), StatusCode::kUnavailable);
  EXPECT_THAT(Describe(away), HasSubstr("starlingd at " + socket()));
  EXPECT_EQ(server_->Collect().status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace starling::standalone
