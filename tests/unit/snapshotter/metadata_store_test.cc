#include "snapshotter/metadata_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "base/file_system.h"
#include "base/temp_dir.h"
#include "snapshotter/sqlite.h"
#include "tests/support/sqlite_statements.h"
#include "tests/support/sqlite_syncs.h"

namespace starling::snapshotter {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SteppingClock : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override { return {}; }
  std::chrono::system_clock::time_point WallTime() const override {
    return std::chrono::system_clock::time_point(std::chrono::nanoseconds(nanoseconds));
  }
  int64_t nanoseconds = 1'234'567'890'123'456'789;
};

class MetadataStoreTest : public testing::Test {
 protected:
  MetadataStoreTest() : dir_(*TempDir::Make("/tmp", "metadata")) { Reopen(); }

  void Reopen() {
    store_.reset();
    auto opened = MetadataStore::Open(file(), clock_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
  }
  std::filesystem::path file() const { return dir_.path() / "metadata.db"; }

  Status Insert(Kind kind, const std::string& key, const std::string& parent,
                const Labels& labels = {}) {
    return store_->Insert({.id = store_->ReserveId(),
                           .kind = kind,
                           .key = key,
                           .parent = parent,
                           .labels = labels,
                           .layer = {},
                           .usage = {}});
  }
  // A committed snapshot `name`.
  void MakeCommitted(const std::string& name, const std::string& parent) {
    ASSERT_TRUE(Insert(Kind::kActive, name + "-active", parent).ok());
    ASSERT_TRUE(store_->Commit(name + "-active", name, "", {}).ok());
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const std::vector<Info> infos = *store_->List(*Filter::Parse({}));
    for (const Info& info : infos) {
      names.push_back(info.name);
    }
    return names;
  }

  TempDir dir_;
  SteppingClock clock_;
  std::unique_ptr<MetadataStore> store_;
};

TEST_F(MetadataStoreTest, KeepsASnapshotBitForBit) {
  const Labels labels = {{"containerd.io/gc.root", "x"}, {"empty", ""}, {"k \xe2\x82\xac", "v"}};
  ASSERT_TRUE(Insert(Kind::kActive, "default/12/extract-602 sha256:00", "", labels).ok());
  Reopen();
  const auto info = store_->Stat("default/12/extract-602 sha256:00");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(*info, (Info{.name = "default/12/extract-602 sha256:00",
                         .parent = "",
                         .kind = Kind::kActive,
                         .created = Timestamp(std::chrono::nanoseconds(clock_.nanoseconds)),
                         .updated = Timestamp(std::chrono::nanoseconds(clock_.nanoseconds)),
                         .labels = {{"containerd.io/gc.root", "x"}, {"k \xe2\x82\xac", "v"}}}));
  EXPECT_EQ(*store_->List(*Filter::Parse({})), std::vector<Info>{*info});
}

TEST_F(MetadataStoreTest, AnswersEveryMistakeWithItsCode) {
  MakeCommitted("A", "");
  MakeCommitted("other", "");
  ASSERT_TRUE(Insert(Kind::kActive, "a", "").ok());
  ASSERT_TRUE(Insert(Kind::kActive, "b", "A").ok());
  ASSERT_TRUE(Insert(Kind::kView, "v", "A").ok());
  const std::vector<std::string> mask_parent = {"parent"};
  const std::vector<std::string> mask_empty_key = {"labels."};
  const struct {
    std::string_view name;
    Status status;
    StatusCode want;
  } cases[] = {
      {"an existing key", Insert(Kind::kActive, "a", ""), StatusCode::kAlreadyExists},
      {"a view's key of an active one", Insert(Kind::kView, "a", ""), StatusCode::kAlreadyExists},
      {"a committed name as key", Insert(Kind::kActive, "A", ""), StatusCode::kAlreadyExists},
      {"a missing parent", Insert(Kind::kActive, "n", "nope"), StatusCode::kNotFound},
      {"an active parent", Insert(Kind::kView, "n", "a"), StatusCode::kInvalidArgument},
      {"an empty key", Insert(Kind::kActive, "", ""), StatusCode::kInvalidArgument},
      {"commit of a missing key", store_->Commit("nope", "N", "", {}), StatusCode::kNotFound},
      {"commit of a view", store_->Commit("v", "N", "", {}), StatusCode::kFailedPrecondition},
      {"commit of a committed one", store_->Commit("A", "N", "", {}),
       StatusCode::kFailedPrecondition},
      {"commit to an existing name", store_->Commit("b", "A", "", {}), StatusCode::kAlreadyExists},
      {"commit to no name", store_->Commit("b", "", "", {}), StatusCode::kInvalidArgument},
      {"commit with another parent", store_->Commit("b", "B", "other", {}),
       StatusCode::kInvalidArgument},
      {"commit with a missing parent", store_->Commit("a", "N", "nope", {}), StatusCode::kNotFound},
      {"commit with an active parent", store_->Commit("a", "N", "b", {}),
       StatusCode::kInvalidArgument},
      {"remove with children", store_->Remove("A"), StatusCode::kFailedPrecondition},
      {"remove of a missing one", store_->Remove("nope"), StatusCode::kNotFound},
      {"stat of a missing one", store_->Stat("nope").status(), StatusCode::kNotFound},
      {"stat of nothing", store_->Stat("").status(), StatusCode::kInvalidArgument},
      {"update of a missing one", store_->UpdateLabels("nope", {}, {}).status(),
       StatusCode::kNotFound},
      {"update of the parent", store_->UpdateLabels("A", {}, mask_parent).status(),
       StatusCode::kInvalidArgument},
      {"update of a label without a key", store_->UpdateLabels("A", {}, mask_empty_key).status(),
       StatusCode::kInvalidArgument},
      {"usage of a missing one", store_->FindUsage("nope").status(), StatusCode::kNotFound},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(c.status.code(), c.want) << c.name << ": " << c.status;
  }
  EXPECT_NE(MessageOf(store_->Remove("A")).find("remove"), std::string_view::npos);
  EXPECT_EQ(Names(), (std::vector<std::string>{"A", "other", "a", "b", "v"}))
      << "what failed changed nothing";
}

TEST_F(MetadataStoreTest, CommitRenamesAndReplacesLabelsAndTimes) {
  ASSERT_TRUE(Insert(Kind::kActive, "a", "", {{"old", "1"}}).ok());
  clock_.nanoseconds += 7;
  ASSERT_TRUE(store_->Commit("a", "A", "", {{"new", "2"}}).ok());
  const auto info = store_->Stat("A");
  EXPECT_EQ(info->kind, Kind::kCommitted);
  EXPECT_EQ(info->labels, (Labels{{"new", "2"}}));
  EXPECT_EQ(info->created.time_since_epoch().count(), clock_.nanoseconds);
  EXPECT_EQ(info->updated, info->created);
  EXPECT_EQ(store_->Stat("a").status().code(), StatusCode::kNotFound);
}

TEST_F(MetadataStoreTest, CommitMayNameTheParentOfOneWithout) {
  MakeCommitted("base", "");
  ASSERT_TRUE(Insert(Kind::kActive, "a", "").ok());
  ASSERT_TRUE(store_->Commit("a", "A", "base", {}).ok());
  EXPECT_EQ(store_->Stat("A")->parent, "base");
  ASSERT_TRUE(Insert(Kind::kActive, "b", "base").ok());
  EXPECT_TRUE(store_->Commit("b", "B", "base", {}).ok()) << "the same parent again is fine";
}

TEST_F(MetadataStoreTest, UpdatesTheLabelsThatTheMaskNames) {
  const Labels before = {{"a", "1"}, {"containerd.io/gc.root", "2"}, {"c", "3"}};
  const Labels sent = {{"a", "9"}, {"new", "8"}, {"blank", ""}};
  const struct {
    std::string_view name;
    std::vector<std::string> mask;
    Labels want;
  } cases[] = {
      {"no mask replaces all", {}, {{"a", "9"}, {"new", "8"}}},
      {"labels replaces all", {"labels"}, {{"a", "9"}, {"new", "8"}}},
      {"one label", {"labels.a"}, {{"a", "9"}, {"c", "3"}, {"containerd.io/gc.root", "2"}}},
      {"an absent value deletes; the key may hold dots",
       {"labels.containerd.io/gc.root"},
       {{"a", "1"}, {"c", "3"}}},
      {"an empty value deletes",
       {"labels.blank", "labels.c"},
       {{"a", "1"}, {"containerd.io/gc.root", "2"}}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string key(c.name);
    ASSERT_TRUE(Insert(Kind::kActive, key, "", before).ok());
    const Timestamp created = store_->Stat(key)->created;
    clock_.nanoseconds += 5;
    const auto updated = store_->UpdateLabels(key, sent, c.mask);
    ASSERT_TRUE(updated.ok()) << updated.status();
    EXPECT_EQ(updated->labels, c.want);
    EXPECT_EQ(updated->created, created);
    EXPECT_EQ(updated->updated.time_since_epoch().count(), clock_.nanoseconds);
    EXPECT_EQ(*store_->Stat(key), *updated);
  }
}

TEST_F(MetadataStoreTest, ResolvesAChainTopFirst) {
  MakeCommitted("1", "");
  MakeCommitted("2", "1");
  MakeCommitted("3", "2");
  ASSERT_TRUE(Insert(Kind::kView, "v", "3").ok());
  const auto chain = store_->Resolve("v");
  ASSERT_TRUE(chain.ok());
  EXPECT_EQ(
      *chain,
      (Chain{.kind = Kind::kView,
             .self = {.id = 4, .layer = {}},
             .parents = {{.id = 3, .layer = {}}, {.id = 2, .layer = {}}, {.id = 1, .layer = {}}}}));
}

TEST_F(MetadataStoreTest, NeverGivesAnIdOrALayerNumberAgain) {
  ASSERT_TRUE(Insert(Kind::kActive, "a", "").ok());
  ASSERT_TRUE(store_->Remove("a").ok());
  ASSERT_TRUE(store_->ForgetRemoved(1).ok());
  EXPECT_EQ(*store_->AddLayer({}), 1U);
  ASSERT_TRUE(store_->ForgetLayer(1).ok());
  Reopen();
  EXPECT_EQ(store_->ReserveId(), 2U);
  EXPECT_EQ(*store_->AddLayer({}), 2U);
}

TEST_F(MetadataStoreTest, ALayersNumberIsForcedToTheDiskWithItsSnapshot) {
  store_.reset();
  testing_support::SqliteSyncs syncs;
  Reopen();
  MakeCommitted("below", "");
  for (const std::string name : {"one", "two"}) {
    const uint64_t before = syncs.count();
    const auto number = store_->AddLayer({});
    ASSERT_TRUE(number.ok()) << number.status();
    EXPECT_EQ(syncs.count(), before);
    ASSERT_TRUE(store_
                    ->Insert({.id = store_->ReserveId(),
                              .kind = Kind::kCommitted,
                              .key = name,
                              .parent = "below",
                              .labels = {},
                              .layer = *number,
                              .usage = {}})
                    .ok());
    EXPECT_EQ(syncs.count(), before + 1) << "of the log, in which both are";
  }
  const uint64_t before = syncs.count();
  ASSERT_TRUE(store_->ForgetLayer(99).ok());
  ASSERT_TRUE(store_->SetUsage(1, {.size_bytes = 1, .inodes = 1}).ok());
  EXPECT_EQ(syncs.count(), before + 1) << "alone, too";
  store_.reset();
}

TEST_F(MetadataStoreTest, ListsByReferenceWhatTheWholeFilterChooses) {
  store_.reset();
  const testing_support::SqliteStatements statements;
  Reopen();
  const std::string ref = "containerd.io/snapshot.ref";
  MakeCommitted("base", "");
  for (const auto& [name, parent, value] :
       std::initializer_list<std::tuple<std::string, std::string, std::string>>{
           {"one", "", "x"}, {"two", "base", "x"}, {"three", "base", "y"}}) {
    ASSERT_TRUE(Insert(Kind::kActive, name, parent, {{ref, value}, {"other", name}}).ok());
  }
  uint64_t asked = 0;
  const auto names = [&](const std::string& text) {
    const std::vector<std::string> texts = {text};
    std::vector<std::string> found;
    const uint64_t before = statements.count();
    const auto infos = store_->List(*Filter::Parse(texts));
    asked = statements.count() - before;
    for (const Info& info : infos.value()) {
      EXPECT_EQ(info, *store_->Stat(info.name));
      found.push_back(info.name);
    }
    return found;
  };
  const std::string by_ref = "labels.\"" + ref + "\"==";
  EXPECT_THAT(names(by_ref + "x"), ElementsAre("one", "two"));
  EXPECT_THAT(names(by_ref + "x,parent==base"), ElementsAre("two"));
  EXPECT_THAT(names(by_ref + "z"), IsEmpty());
  EXPECT_EQ(asked, 1u) << "not for the labels of others";
  store_.reset();
}

TEST_F(MetadataStoreTest, ListsWhatAwaitsDeletion) {
  LayerRequest request{
      .image_reference = "x",
      .layer = oci::Digest::Of(AsBytes("l")),
      .toc = oci::Digest::Of(AsBytes("t")),
      .image_layers = {oci::Digest::Of(AsBytes("l")), oci::Digest::Of(AsBytes("m"))}};
  const uint64_t used = *store_->AddLayer(request);
  const uint64_t unused = *store_->AddLayer(request);
  ASSERT_TRUE(store_
                  ->Insert({.id = store_->ReserveId(),
                            .kind = Kind::kCommitted,
                            .key = "lazy",
                            .parent = "",
                            .labels = {},
                            .layer = used,
                            .usage = Usage{.size_bytes = 5, .inodes = 6}})
                  .ok());
  EXPECT_EQ(store_->FindUsage("lazy")->usage, (Usage{.size_bytes = 5, .inodes = 6}));
  ASSERT_TRUE(store_->Remove("lazy").ok());
  Reopen();
  EXPECT_EQ(*store_->Removed(), (std::vector<ChainLink>{{.id = 1, .layer = used}}));
  EXPECT_EQ(*store_->Ids(), std::vector<uint64_t>{1});
  const auto layers = store_->Layers();
  ASSERT_TRUE(layers.ok()) << layers.status();
  ASSERT_EQ(layers->size(), 2U);
  EXPECT_TRUE((*layers)[0].in_use) << "until its removal is finished";
  EXPECT_EQ((*layers)[1].number, unused);
  EXPECT_FALSE((*layers)[1].in_use);
  EXPECT_EQ((*layers)[0].request.image_layers, request.image_layers);
  EXPECT_EQ((*layers)[0].request.toc, request.toc);
}

TEST_F(MetadataStoreTest, KeepsACountedUsage) {
  MakeCommitted("A", "");
  EXPECT_EQ(store_->FindUsage("A")->usage, std::nullopt);
  ASSERT_TRUE(store_->SetUsage(1, {.size_bytes = 3, .inodes = 4}).ok());
  EXPECT_EQ(store_->FindUsage("A")->usage, (Usage{.size_bytes = 3, .inodes = 4}));
}

TEST_F(MetadataStoreTest, RefusesADamagedFileUntouched) {
  for (int i = 0; i < 200; ++i) {
    MakeCommitted(fmt::format("a snapshot with a long name {:0100}", i), "");
  }
  store_.reset();
  const Bytes whole = *ReadFile(RealFileSystem(), file(), 64 << 20);
  const struct {
    std::string_view name;
    std::function<void(Bytes&)> damage;
  } cases[] = {
      {"cut off", [](Bytes& bytes) { bytes.resize(bytes.size() / 2 / 4096 * 4096); }},
      {"another header", [](Bytes& bytes) { bytes[0] ^= std::byte{1}; }},
      {"a spoiled page",
       [](Bytes& bytes) {
         std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(bytes.size() / 4096 / 2 * 4096), 4096,
                     std::byte{0xA5});
       }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes damaged = whole;
    c.damage(damaged);
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), file(), damaged, 0600).ok());
    const Status status = MetadataStore::Open(file(), clock_).status();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
    EXPECT_NE(MessageOf(status).find("metadata.db is damaged"), std::string_view::npos) << status;
    EXPECT_EQ(*ReadFile(RealFileSystem(), file(), 64 << 20), damaged);
  }
}

TEST_F(MetadataStoreTest, RefusesAFileOfANewerVersionUntouched) {
  store_.reset();
  {
    const auto database = Database::Open(file());
    ASSERT_TRUE((*database)->Execute("PRAGMA user_version = 99").ok());
  }
  const Status status = MetadataStore::Open(file(), clock_).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(status).find("newer starlingd"), std::string_view::npos) << status;
  const auto database = Database::Open(file());
  Query query = (*database)->Prepare("PRAGMA user_version");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Number(0), 99U);
}

}  // namespace
}  // namespace starling::snapshotter
