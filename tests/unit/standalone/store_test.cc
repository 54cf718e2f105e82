#include "standalone/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <map>

#include "base/temp_dir.h"
#include "snapshotter/sqlite.h"
#include "tests/support/manual_clock.h"

namespace starling::standalone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using testing_support::ManualClock;

const Labels kRoot = {{"containerd.io/gc.root", "now"}};

/// Snapshots in memory, by name with their parents.
class FakeSnapshots : public SnapshotTree {
 public:
  StatusOr<std::vector<Holdings::Snapshot>> All() override {
    ++lists;
    RETURN_IF_ERROR(error);
    std::vector<Holdings::Snapshot> all;
    for (const auto& [name, parent] : parents) {
      all.push_back({.name = name, .parent = parent});
    }
    return all;
  }
  Status Remove(const std::string& name) override {
    for (const auto& [child, parent] : parents) {
      if (parent == name) {
        return MakeError(StatusCode::kFailedPrecondition, name + " has children");
      }
    }
    parents.erase(name);
    return OkStatus();
  }
  std::map<std::string, std::string> parents;
  Status error;
  size_t lists = 0;
};

class StoreTest : public testing::Test {
 protected:
  std::unique_ptr<Store> Open() {
    auto store = Store::Open(directory_.path() / "store", clock_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  StatusOr<oci::Digest> Put(Store& store, const std::string& content, const Labels& labels = {},
                            const std::string& lease = "") {
    ASSIGN_OR_RETURN(const auto ingest, store.NewIngest());
    RETURN_IF_ERROR(ingest->Write(AsBytes(content)));
    const oci::Digest digest = oci::Digest::Of(AsBytes(content));
    RETURN_IF_ERROR(ingest->Commit(digest, labels, lease));
    return digest;
  }
  static std::string Read(Store& store, const oci::Digest& digest) {
    const auto file = store.OpenContent(digest, "");
    if (!file.ok()) {
      return Describe(file.status());
    }
    FdSource source(file->get());
    return std::string(AsText(*ReadAll(source, 1000)));
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& file :
         std::filesystem::directory_iterator(directory_.path() / "store" / "blobs")) {
      names.push_back(file.path().filename());
    }
    return names;
  }
  std::chrono::sys_seconds In(std::chrono::seconds time) const {
    return std::chrono::time_point_cast<std::chrono::seconds>(clock_.WallTime()) + time;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "store-");
  ManualClock clock_;
  FakeSnapshots snapshots_;
  std::unique_ptr<Store> store_ = Open();
};

TEST_F(StoreTest, IsForItsOwnerAlone) {
  for (const char* name : {"store", "store/blobs"}) {
    struct stat found{};
    ASSERT_EQ(::stat((directory_.path() / name).c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0700U) << name;
  }
  ASSERT_TRUE(Put(*store_, "x").ok());
  struct stat found{};
  ASSERT_EQ(::stat((directory_.path() / "store/blobs" / Files().front()).c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
}

TEST_F(StoreTest, KeepsBlobsByDigest) {
  const auto digest = Put(*store_, "content", {{"a", "1"}, {"b", "2"}});
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(Read(*store_, *digest), "content");
  EXPECT_EQ(Put(*store_, "content").status().code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(store_->LabelContent(*digest, {{"b", ""}, {"c", "3"}}).ok());
  const auto content = store_->FindContent(*digest, "");
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(content->size_bytes, 7);
  EXPECT_THAT(content->labels, ElementsAre(Pair("a", "1"), Pair("c", "3")));

  const std::string id = store_->id();
  store_ = Open();
  EXPECT_EQ(store_->id(), id);
  EXPECT_EQ(Read(*store_, *digest), "content");
  ASSERT_TRUE(store_->DeleteContent(*digest).ok());
  EXPECT_EQ(store_->DeleteContent(*digest).code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->FindContent(*digest, "").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->LabelContent(*digest, {}).code(), StatusCode::kNotFound);
  ASSERT_TRUE(Put(*store_, "content", {{"d", "4"}}).ok());
  EXPECT_THAT(store_->FindContent(*digest, "")->labels, ElementsAre(Pair("d", "4")));
}

TEST_F(StoreTest, TakesNothingButWhatIsExpected) {
  const auto ingest = store_->NewIngest();
  ASSERT_TRUE((*ingest)->Write(AsBytes(std::string_view("other"))).ok());
  EXPECT_EQ((*ingest)->Commit(oci::Digest::Of(AsBytes(std::string_view("this"))), {}, "").code(),
            StatusCode::kFailedPrecondition);
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(StoreTest, FindsBlobsByTheirLabels) {
  const auto first = Put(*store_, "1", {{"dev.key", "a"}});
  const auto second = Put(*store_, "2", {{"dev.key", "b"}, {"other", "a"}});
  ASSERT_TRUE(Put(*store_, "3").ok());
  const struct {
    std::string_view name;
    std::string filter;
    std::vector<oci::Digest> want;
  } cases[] = {
      {"by value", R"(labels."dev.key"==a)", {*first}},
      {"by name", R"(labels."dev.key")", {*first, *second}},
      {"nothing", R"(labels."dev.key"==c)", {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto filter = snapshotter::Filter::Parse(std::array{c.filter});
    ASSERT_TRUE(filter.ok());
    std::vector<oci::Digest> found;
    const auto contents = store_->ListContent(*filter);
    for (const Store::Content& content : *contents) {
      found.push_back(content.digest);
    }
    EXPECT_THAT(found, testing::UnorderedElementsAreArray(c.want));
  }
}

TEST_F(StoreTest, ImagesStandForOneThing) {
  Store::Image image{.name = "app:1", .target = {}};
  image.target.media_type = "m";
  image.target.digest = *Put(*store_, "manifest");
  image.target.size_bytes = 8;
  EXPECT_EQ(store_->UpdateImage(image).code(), StatusCode::kNotFound);
  ASSERT_TRUE(store_->CreateImage(image).ok());
  EXPECT_EQ(store_->CreateImage(image).code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(store_->Collect(snapshots_).ok());
  EXPECT_THAT(Files(), ElementsAre(image.target.digest.Hex()));

  image.target.digest = *Put(*store_, "manifest 2");
  ASSERT_TRUE(store_->UpdateImage(image).ok());
  EXPECT_EQ(store_->FindImage("app:1")->target.digest, image.target.digest);
  EXPECT_EQ(store_->FindImage("app:2").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->ListImages()->size(), 1);
  ASSERT_TRUE(store_->Collect(snapshots_).ok());
  EXPECT_THAT(Files(), ElementsAre(image.target.digest.Hex()));
  ASSERT_TRUE(store_->ForgetImages().ok());
  ASSERT_TRUE(store_->Collect(snapshots_).ok());
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(StoreTest, LeasesHoldUntilTheyEnd) {
  enum class End { kDeleted, kExpired, kLives };
  const struct {
    std::string_view name;
    End end;
    bool stays;
  } cases[] = {{"one that lives", End::kLives, true},
               {"one that was deleted", End::kDeleted, false},
               {"one that has expired", End::kExpired, false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_TRUE(store_->CreateLease("l", In(std::chrono::hours(1))).ok());
    EXPECT_EQ(store_->CreateLease("l", In(std::chrono::hours(1))).code(),
              StatusCode::kAlreadyExists);
    const auto made = Put(*store_, "made", {}, "l");
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_TRUE(store_->HoldSnapshot("l", "top").ok());
    snapshots_.parents = {{"bottom", ""}, {"top", "bottom"}, {"other", "bottom"}};
    if (c.end == End::kDeleted) {
      ASSERT_TRUE(store_->DeleteLease("l").ok());
    } else if (c.end == End::kExpired) {
      clock_.Advance(std::chrono::hours(1));
    }
    const auto collected = store_->Collect(snapshots_);
    ASSERT_TRUE(collected.ok()) << collected.status();
    EXPECT_EQ(collected->contents, c.stays ? 0 : 1);
    EXPECT_EQ(collected->bytes, c.stays ? 0 : 4);
    EXPECT_EQ(collected->snapshots, c.stays ? 1 : 3);
    EXPECT_EQ(Files().size(), c.stays ? 1 : 0);
    if (c.stays) {
      ASSERT_TRUE(store_->ReleaseSnapshot("l", "top").ok());
      ASSERT_TRUE(store_->Collect(snapshots_).ok());
      EXPECT_THAT(snapshots_.parents, IsEmpty());
      ASSERT_TRUE(store_->DeleteLease("l").ok());
      ASSERT_TRUE(store_->Collect(snapshots_).ok());
    } else {
      EXPECT_EQ(store_->DeleteLease("l").code(), StatusCode::kNotFound);
      EXPECT_EQ(store_->HoldSnapshot("l", "x").code(), StatusCode::kFailedPrecondition);
      EXPECT_EQ(Put(*store_, "more", {}, "l").status().code(), StatusCode::kFailedPrecondition);
    }
  }
}

TEST_F(StoreTest, WhatWasLookedAtStays) {
  const auto layer = Put(*store_, "layer");
  const auto record = Put(*store_, "record",
                          {{"containerd.io/gc.root", "now"},
                           {"containerd.io/gc.ref.content", layer->ToString()},
                           {"containerd.io/gc.ref.snapshot.stargz", "s"}});
  snapshots_.parents = {{"s", ""}};
  ASSERT_TRUE(store_->CreateLease("build", In(std::chrono::hours(1))).ok());
  ASSERT_TRUE(store_->OpenContent(*record, "build").ok());
  // Another build prunes it.
  const std::unique_ptr<Store> other = Open();
  ASSERT_TRUE(other->DeleteContent(*record).ok());
  ASSERT_TRUE(other->Collect(snapshots_).ok());
  EXPECT_EQ(Read(*store_, *layer), "layer");
  EXPECT_EQ(snapshots_.parents.size(), 1);
  EXPECT_EQ(store_->FindContent(*record, "build").status().code(), StatusCode::kNotFound);

  ASSERT_TRUE(store_->DeleteLease("build").ok());
  ASSERT_TRUE(other->Collect(snapshots_).ok());
  EXPECT_THAT(Files(), IsEmpty());
  EXPECT_THAT(snapshots_.parents, IsEmpty());
}

TEST_F(StoreTest, CollectsManySnapshotsInParts) {
  for (int i = 0; i < 100; ++i) {
    snapshots_.parents[std::to_string(i)] = i == 0 ? "" : std::to_string(i - 1);
  }
  EXPECT_EQ(store_->Collect(snapshots_)->snapshots, 100);
  EXPECT_EQ(snapshots_.lists, 4) << "others wait for some of them only";
}

TEST_F(StoreTest, NothingGoesWithoutKnowingAllSnapshots) {
  ASSERT_TRUE(Put(*store_, "x").ok());
  snapshots_.error = MakeError(StatusCode::kUnavailable, "away");
  EXPECT_EQ(store_->Collect(snapshots_).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Files().size(), 1);
  snapshots_.error = OkStatus();
  EXPECT_EQ(store_->Collect(snapshots_)->contents, 1);
}

TEST_F(StoreTest, FilesThatAKilledProcessLeftGo) {
  const auto kept = Put(*store_, "kept", kRoot);
  std::ofstream(directory_.path() / "store/blobs" / std::string(64, 'a')) << "left";
  std::ofstream(directory_.path() / "store/blobs" /
                oci::Digest::Of(AsBytes(std::string_view("again"))).Hex())
      << "again";
  ASSERT_TRUE(Put(*store_, "again", kRoot).ok()) << "what has the name has the bytes";
  ASSERT_TRUE(store_->Collect(snapshots_).ok());
  EXPECT_THAT(Files(), UnorderedElementsAre(
                           kept->Hex(), oci::Digest::Of(AsBytes(std::string_view("again"))).Hex()));
}

TEST_F(StoreTest, IsSafeForProcessesThatDie) {
  store_.reset();
  constexpr int kProcesses = 4;
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto store = Open();
      FakeSnapshots none;
      bool fine = store->CreateLease(std::to_string(process), In(std::chrono::hours(1))).ok();
      for (int i = 0; fine && i < 50; ++i) {
        const std::string content = std::to_string(i);
        const Status put =
            Put(*store, content, {{"key", content}}, std::to_string(process)).status();
        fine = put.ok() || put.code() == StatusCode::kAlreadyExists;
        fine = fine && (i % 10 != 0 || store->Collect(none).ok());
        fine = fine && Read(*store, oci::Digest::Of(AsBytes(content))) == content;
      }
      // Without any farewell.
      ::_exit(fine ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  store_ = Open();
  EXPECT_EQ(Files().size(), 50);
  for (int process = 0; process < kProcesses; ++process) {
    ASSERT_TRUE(store_->DeleteLease(std::to_string(process)).ok());
  }
  EXPECT_EQ(store_->Collect(snapshots_)->contents, 50);
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(StoreTest, StaysAwayFromWhatANewerVersionWrote) {
  store_.reset();
  {
    const auto database = snapshotter::Database::Open(directory_.path() / "store" / "store.db");
    ASSERT_TRUE((*database)->Execute("PRAGMA user_version = 99").ok());
  }
  const auto opened = Store::Open(directory_.path() / "store", clock_);
  EXPECT_EQ(opened.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Describe(opened.status()), HasSubstr("--state-dir"));
}

}  // namespace
}  // namespace starling::standalone
