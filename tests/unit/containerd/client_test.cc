#include "containerd/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/temp_dir.h"
#include "tests/support/fake_containerd.h"

namespace starling::containerd {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;
using testing_support::FakeContainerd;

oci::Descriptor BlobOf(std::string_view content) {
  return {.media_type = std::string(oci::media_type::kOciLayerGzip),
          .digest = oci::Digest::Of(AsBytes(content)),
          .size_bytes = content.size()};
}

class ClientTest : public testing::Test {
 protected:
  std::string socket() const { return (directory_.path() / "c.sock").string(); }
  Client MakeClient(std::chrono::milliseconds timeout = std::chrono::seconds(60)) const {
    return Client({.address = socket(), .namespace_name = "ns", .call_timeout = timeout});
  }

  TempDir directory_ = *TempDir::Make("/tmp", "containerd-");
  FakeContainerd containerd_{socket()};
  Client client_ = MakeClient();
};

TEST_F(ClientTest, NamesNamespaceAndLeaseInEveryCall) {
  ASSERT_EQ(*client_.Version(), "fake");
  const auto lease = client_.CreateLease(std::chrono::hours(1));
  ASSERT_TRUE(lease.ok()) << lease.status();
  client_.UseLease(*lease);
  EXPECT_EQ(client_.StatSnapshot("s", "none").status().code(), StatusCode::kNotFound);
  client_.UseLease({});
  ASSERT_TRUE(client_.DeleteLease(*lease).ok());
  EXPECT_THAT(containerd_.state().leases, IsEmpty());

  std::vector<std::string> seen;
  for (const FakeContainerd::Call& call : containerd_.calls()) {
    EXPECT_EQ(call.namespace_name, "ns") << call.name;
    seen.push_back(call.name + " " + (call.lease == *lease ? "leased" : call.lease));
  }
  EXPECT_THAT(seen, ElementsAre("version.Version ", "leases.Create ", "snapshots.Stat leased",
                                "leases.Delete "));
}

TEST_F(ClientTest, ALeaseHoldsSnapshotsOfOthers) {
  ASSERT_TRUE(client_.HoldSnapshot("s", "name").ok()) << "nothing without a lease";
  EXPECT_THAT(containerd_.calls(), IsEmpty());
  const auto lease = client_.CreateLease(std::chrono::hours(1));
  ASSERT_TRUE(lease.ok()) << lease.status();
  client_.UseLease(*lease);
  ASSERT_TRUE(client_.HoldSnapshot("s", "name").ok());
  EXPECT_THAT(containerd_.state().held[*lease], ElementsAre("snapshots/s name"));
  client_.UseLease("gone");
  EXPECT_EQ(client_.HoldSnapshot("s", "name").code(), StatusCode::kNotFound);
}

TEST_F(ClientTest, LeasesExpireByThemselves) {
  const auto before = std::chrono::system_clock::now();
  const auto lease = client_.CreateLease(std::chrono::hours(2));
  ASSERT_TRUE(lease.ok()) << lease.status();
  const std::string expires = containerd_.state().leases[*lease]["containerd.io/gc.expire"];
  std::tm fields{};
  ASSERT_EQ(::strptime(expires.c_str(), "%Y-%m-%dT%H:%M:%SZ", &fields),
            expires.c_str() + expires.size())
      << expires;
  const auto at = std::chrono::system_clock::from_time_t(::timegm(&fields));
  EXPECT_GE(at, before + std::chrono::hours(2) - std::chrono::seconds(1));
  EXPECT_LE(at, std::chrono::system_clock::now() + std::chrono::hours(2));
}

TEST_F(ClientTest, WritesABlobInPieces) {
  const std::string content((2 << 20) + 5, 'x');
  const oci::Descriptor blob = BlobOf(content);
  {
    auto writer = client_.WriteContent(blob);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Write(AsBytes(content)).ok());
    const Status committed = (*writer)->Commit({{"label", "value"}});
    ASSERT_TRUE(committed.ok()) << committed;
  }
  EXPECT_EQ(containerd_.CallsOf("content.Data"), 3u);
  EXPECT_EQ(containerd_.CallsOf("content.Abort"), 0u);
  const FakeContainerd::State state = containerd_.state();
  ASSERT_TRUE(state.blobs.contains(blob.digest.ToString()));
  EXPECT_EQ(state.blobs.at(blob.digest.ToString()).content, content);
  EXPECT_THAT(state.blobs.at(blob.digest.ToString()).labels, ElementsAre(Pair("label", "value")));
  EXPECT_THAT(state.ingests, IsEmpty());
  EXPECT_EQ(client_.WriteContent(blob).status().code(), StatusCode::kAlreadyExists);
}

TEST_F(ClientTest, DropsABlobThatIsNotCommitted) {
  const oci::Descriptor blob = BlobOf("content");
  {
    auto writer = client_.WriteContent(blob);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Write(AsBytes("con")).ok());
  }
  EXPECT_THAT(containerd_.state().ingests, IsEmpty());
  EXPECT_THAT(containerd_.state().blobs, IsEmpty());
}

TEST_F(ClientTest, TwoPullsWriteOneBlobAtOnce) {
  const oci::Descriptor blob = BlobOf("content");
  Client other = MakeClient();
  client_.UseLease("one");
  other.UseLease("two");
  auto first = client_.WriteContent(blob);
  auto second = other.WriteContent(blob);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  for (const auto* writer : {&*first, &*second}) {
    ASSERT_TRUE((*writer)->Write(AsBytes("content")).ok());
    const Status committed = (*writer)->Commit({});
    EXPECT_TRUE(committed.ok()) << committed;
  }
  EXPECT_EQ(containerd_.state().blobs.size(), 1u);
}

TEST_F(ClientTest, PassesOnThatABlobIsNotItsDigests) {
  auto writer = client_.WriteContent(BlobOf("content"));
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Write(AsBytes("CONTENT")).ok());
  EXPECT_EQ((*writer)->Commit({}).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ((*writer)->Write(AsBytes("x")).code(), StatusCode::kFailedPrecondition);
}

TEST_F(ClientTest, WritesABlobWhoseDigestShowsAtItsEnd) {
  const oci::Descriptor blob = BlobOf("content");
  auto writer = client_.WriteNewContent();
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Write(AsBytes("con")).ok());
  ASSERT_TRUE((*writer)->Write(AsBytes("tent")).ok());
  ASSERT_TRUE((*writer)->Commit(blob.digest, {{"a", "1"}}).ok());
  const auto blobs = containerd_.state().blobs;
  EXPECT_EQ(blobs.at(blob.digest.ToString()).content, "content");
  EXPECT_THAT(blobs.at(blob.digest.ToString()).labels, ElementsAre(Pair("a", "1")));
}

TEST_F(ClientTest, WritesSeveralNewBlobsAtOnce) {
  auto one = client_.WriteNewContent();
  auto other = client_.WriteNewContent();
  ASSERT_TRUE(one.ok() && other.ok()) << one.status() << other.status();
  EXPECT_EQ(containerd_.state().ingests.size(), 2u);
  one->reset();
  EXPECT_EQ((*other)->Commit(BlobOf("something else").digest, {}).code(),
            StatusCode::kFailedPrecondition);
  other->reset();
  EXPECT_THAT(containerd_.state().ingests, IsEmpty());
}

TEST_F(ClientTest, PutsABlobThatIsThereBySettingItsLabels) {
  const oci::Descriptor blob = BlobOf("content");
  ASSERT_TRUE(client_.PutContent(blob, AsBytes("content"), {{"a", "1"}}).ok());
  ASSERT_TRUE(client_.PutContent(blob, AsBytes("content"), {{"b", "2"}}).ok());
  EXPECT_EQ(containerd_.CallsOf("content.Commit"), 1u);
  EXPECT_THAT(containerd_.state().blobs.at(blob.digest.ToString()).labels,
              ElementsAre(Pair("a", "1"), Pair("b", "2")));
}

TEST_F(ClientTest, FindsBlobsByTheirLabelsAndDeletesThem) {
  const oci::Descriptor blob = BlobOf("content");
  ASSERT_TRUE(client_.PutContent(blob, AsBytes("content"), {{"org/key", "1"}}).ok());
  ASSERT_TRUE(client_.PutContent(BlobOf("other"), AsBytes("other"), {{"org/key", "2"}}).ok());
  ASSERT_TRUE(client_.PutContent(BlobOf("third"), AsBytes("third"), {}).ok());
  EXPECT_EQ(client_.FindContent("labels.\"org/key\"")->size(), 2u);
  const auto found = client_.FindContent("labels.\"org/key\"==1");
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ((*found)[0].digest, blob.digest);
  EXPECT_EQ((*found)[0].size_bytes, 7u);
  EXPECT_THAT((*found)[0].labels, ElementsAre(Pair("org/key", "1")));
  ASSERT_TRUE(client_.DeleteContent(blob.digest).ok());
  EXPECT_EQ(client_.DeleteContent(blob.digest).code(), StatusCode::kNotFound);
}

TEST_F(ClientTest, ShowsASnapshotToRead) {
  ASSERT_TRUE(client_.PrepareSnapshot("s", "key", "", {}).ok());
  ASSERT_TRUE(client_.CommitSnapshot("s", "name", "key", {}).ok());
  const auto mounts = client_.ViewSnapshot("s", "view", "name");
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  ASSERT_EQ(mounts->size(), 1u);
  EXPECT_EQ((*mounts)[0].type, "bind");
  EXPECT_EQ(client_.ViewSnapshot("s", "other", "none").status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(client_.RemoveSnapshot("s", "view").ok());
}

TEST_F(ClientTest, ReadsABlobAndChecksIt) {
  const std::string content(5500, 'x');
  const oci::Descriptor blob = BlobOf(content);
  const auto hold = [&](const std::string& bytes) {
    containerd_.Change(
        [&](FakeContainerd::State& state) { state.blobs[blob.digest.ToString()].content = bytes; });
  };
  EXPECT_EQ(client_.ReadContent(blob).status().code(), StatusCode::kNotFound);
  hold(content);
  const auto read = client_.ReadContent(blob);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(AsText(*read), content);
  const struct {
    const char* name;
    std::string held;
  } cases[] = {{"longer", content + "x"}, {"shorter", "xx"}, {"other", std::string(5500, 'y')}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    hold(c.held);
    EXPECT_EQ(client_.ReadContent(blob).status().code(), StatusCode::kDataLoss);
  }
}

TEST_F(ClientTest, AddsLabelsToABlob) {
  const oci::Descriptor blob = BlobOf("content");
  EXPECT_EQ(client_.LabelContent(blob.digest, {{"a", "1"}}).code(), StatusCode::kNotFound);
  containerd_.Change([&](FakeContainerd::State& state) {
    state.blobs[blob.digest.ToString()] = {.content = "content", .labels = {{"b.c", "2"}}};
  });
  ASSERT_TRUE(client_.LabelContent(blob.digest, {{"a/d.e", "1"}}).ok());
  EXPECT_THAT(containerd_.state().blobs[blob.digest.ToString()].labels,
              UnorderedElementsAre(Pair("a/d.e", "1"), Pair("b.c", "2")));
}

TEST_F(ClientTest, TakesASnapshotThroughItsLife) {
  const auto mounts = client_.PrepareSnapshot("s", "key", "", {{"l", "1"}});
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  ASSERT_EQ(mounts->size(), 1u);
  EXPECT_EQ(mounts->front().type, "overlay");
  EXPECT_EQ(mounts->front().source, "overlay");
  EXPECT_THAT(mounts->front().options, ElementsAre("upperdir=/key", "index=off"));

  ASSERT_TRUE(client_.CommitSnapshot("s", "name", "key", {{"l", "2"}}).ok());
  EXPECT_THAT(*client_.StatSnapshot("s", "name"), ElementsAre(Pair("l", "2")));
  EXPECT_EQ(client_.CommitSnapshot("s", "other", "key", {}).code(), StatusCode::kNotFound);
  ASSERT_TRUE(client_.RemoveSnapshot("s", "name").ok());
  EXPECT_EQ(client_.RemoveSnapshot("s", "name").code(), StatusCode::kNotFound);
}

TEST_F(ClientTest, UnpacksALayerOntoItsMounts) {
  const oci::Descriptor layer = BlobOf("content");
  const std::vector<Mount> mounts = {{.type = "bind", .source = "/x", .options = {"rw", "rbind"}}};
  EXPECT_EQ(client_.Apply(layer, mounts).status().code(), StatusCode::kNotFound);
  const oci::Digest diff_id = oci::Digest::Of(AsBytes("tar"));
  containerd_.Change([&](FakeContainerd::State& state) {
    state.blobs[layer.digest.ToString()].content = "content";
    state.diff_ids[layer.digest.ToString()] = diff_id.ToString();
  });
  const auto applied = client_.Apply(layer, mounts);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(*applied, diff_id);
  const auto request = containerd_.state().applied.at(0);
  EXPECT_EQ(request.diff().media_type(), layer.media_type);
  EXPECT_EQ(request.diff().size(), 7);
  ASSERT_EQ(request.mounts_size(), 1);
  EXPECT_EQ(request.mounts(0).source(), "/x");
  EXPECT_THAT(request.mounts(0).options(), ElementsAre("rw", "rbind"));
}

TEST_F(ClientTest, AnImageStandsForWhatItWasPutForLast) {
  for (const char* content : {"one", "two"}) {
    const Status put = client_.PutImage("name", BlobOf(content));
    ASSERT_TRUE(put.ok()) << put;
    const auto target = containerd_.state().images.at("name");
    EXPECT_EQ(target.digest(), BlobOf(content).digest.ToString());
    EXPECT_EQ(target.size(), 3);
  }
}

TEST_F(ClientTest, ListsSnapshottersWithWhereTheyAreAndWhyTheyAreNot) {
  containerd_.Change([](FakeContainerd::State& state) {
    const auto add = [&state](const char* type, const char* id) -> auto& {
      auto& plugin = state.plugins.emplace_back();
      plugin.set_type(type);
      plugin.set_id(id);
      return plugin;
    };
    add("io.containerd.snapshotter.v1", "overlayfs");
    add("io.containerd.content.v1", "content");
    add("io.containerd.snapshotter.v1", "zfs").mutable_init_err()->set_message("no zfs");
    auto& exports = *add("io.containerd.snapshotter.v1", "stargz").mutable_exports();
    exports["address"] = "/run/s.sock";
    exports["enable_remote_snapshot_annotations"] = "true";
  });
  const auto snapshotters = client_.Snapshotters();
  ASSERT_TRUE(snapshotters.ok()) << snapshotters.status();
  ASSERT_EQ(snapshotters->size(), 3U);
  EXPECT_EQ(snapshotters->at("overlayfs").error, "");
  EXPECT_EQ(snapshotters->at("zfs").error, "no zfs");
  EXPECT_EQ(snapshotters->at("stargz").address, "/run/s.sock");
  EXPECT_EQ(snapshotters->at("stargz").exports.count("enable_remote_snapshot_annotations"), 1U);
}

TEST_F(ClientTest, TellsAMissingContainerdFromAMissingPlugin) {
  Client nobody({.address = (directory_.path() / "none.sock").string(), .namespace_name = "ns"});
  const Status away = nobody.Version().status();
  EXPECT_EQ(away.code(), StatusCode::kUnavailable);
  EXPECT_THAT(Describe(away), AllOf(HasSubstr("none.sock"), HasSubstr("is it running?")));

  containerd_.FailNext("snapshots.Prepare", {grpc::StatusCode::UNAVAILABLE, "no snapshotter"});
  const Status plugin = client_.PrepareSnapshot("s", "key", "", {}).status();
  EXPECT_EQ(plugin.code(), StatusCode::kUnavailable);
  EXPECT_THAT(Describe(plugin), AllOf(HasSubstr("prepare a snapshot: no snapshotter"),
                                      Not(HasSubstr("is it running?"))));
}

TEST_F(ClientTest, GivesUpAtItsDeadline) {
  std::promise<void> release;
  containerd_.Before("snapshots.Stat", [&] { release.get_future().wait(); });
  Client hurried = MakeClient(std::chrono::milliseconds(100));
  EXPECT_EQ(hurried.StatSnapshot("s", "name").status().code(), StatusCode::kDeadlineExceeded);
  release.set_value();
}

}  // namespace
}  // namespace starling::containerd
