#include "store/layer_store.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <fstream>
#include <thread>

#include "store/layer_directory.h"
#include "tests/support/store_fixture.h"

namespace starling::store {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;
using testing_support::FaultyFileSystem;

class LayerStoreTest : public testing_support::StoreFixture {
 protected:
  std::vector<std::string> RootEntries() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  void WriteText(const std::filesystem::path& path, std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), path, AsBytes(text), 0600).ok());
  }
  /// Runs `work` in a child process that ends without any cleaning up, and waits for it.
  template <typename Work>
  static int RunAndKill(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
      work();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }
  /// True when `work` on the store, run in a process that dies before its `step`th call for the
  /// disk, got that far.
  template <typename Work>
  bool CrashesAt(int step, Work work) {
    return RunAndKill([&] {
             const auto layers = OpenStore();
             int left = step;
             files_.set_hook([&](const FaultyFileSystem::Call&) {
               if (left-- == 0) {
                 ::_exit(1);
               }
               return OkStatus();
             });
             work(*layers);
           }) == 1;
  }
};

TEST_F(LayerStoreTest, KeepsLayersOverRestarts) {
  {
    const auto layers = OpenStore();
    EXPECT_EQ(layers->Find(Key()).status().code(), StatusCode::kNotFound);
    const auto layer = Create(*layers);
    ASSERT_TRUE(layer.ok()) << Describe(layer.status());
    ASSERT_TRUE(Put(**layer, 7).ok());
  }
  const auto layers = OpenStore();
  EXPECT_THAT(*layers->List(), UnorderedElementsAre(Key()));
  const auto layer = layers->Find(Key());
  ASSERT_TRUE(layer.ok()) << Describe(layer.status());
  EXPECT_EQ((*layer)->info(), Info());
  EXPECT_EQ(AsText((*layer)->index()), "the index");
  EXPECT_TRUE((*layer)->IsPresent(7));
  EXPECT_FALSE((*layer)->IsPresent(6));
  EXPECT_TRUE(HoldsRightBytes(**layer, 7));
  EXPECT_EQ((*layer)->present_bytes(), kChunkBytes);
}

TEST_F(LayerStoreTest, AKilledProcessLosesNothing) {
  RunAndKill([&] {
    const auto layer = *Create(*OpenStore());
    for (uint64_t chunk = 0; chunk < kChunks; chunk += 2) {
      (void)Put(*layer, chunk);
    }
    ::_exit(0);
  });
  const auto layers = OpenStore();
  const auto layer = layers->Find(Key());
  ASSERT_TRUE(layer.ok()) << Describe(layer.status());
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    EXPECT_EQ((*layer)->IsPresent(chunk), chunk % 2 == 0);
    EXPECT_EQ(HoldsRightBytes(**layer, chunk), chunk % 2 == 0);
  }
}

TEST_F(LayerStoreTest, ALossOfPowerLosesWhatCameAfterTheCheckpoint) {
  {
    const auto layers = OpenStore();
    const auto layer = *Create(*layers);
    ASSERT_TRUE(Put(*layer, 1).ok());
    ASSERT_TRUE(layers->Checkpoint().ok());
    ASSERT_TRUE(Put(*layer, 2).ok());
  }
  SetBoot("2");
  const auto layers = OpenStore();
  const auto layer = *layers->Find(Key());
  EXPECT_TRUE(layer->IsPresent(1));
  EXPECT_FALSE(layer->IsPresent(2));
  EXPECT_TRUE(layer->IsDoubtful(2));
}

TEST_F(LayerStoreTest, ALayerWhoseBitsAreDamagedIsVerifiedAgain) {
  for (const bool is_missing : {false, true}) {
    SCOPED_TRACE(is_missing);
    {
      const auto layers = OpenStore();
      const auto layer = *Create(*layers);
      ASSERT_TRUE(Put(*layer, 1).ok());
    }
    if (is_missing) {
      std::filesystem::remove(PathOf(Key()) / "present");
    } else {
      std::filesystem::resize_file(PathOf(Key()) / "present", 9);
    }
    const auto layers = OpenStore();
    const auto layer = layers->Find(Key());
    ASSERT_TRUE(layer.ok()) << layer.status();
    EXPECT_EQ((*layer)->doubtful_count(), kChunks);
    EXPECT_TRUE(Reclaim(**layer, 1).ok());
    EXPECT_TRUE(HoldsRightBytes(**layer, 1));
    EXPECT_EQ(Reclaim(**layer, 2).code(), StatusCode::kNotFound);
    EXPECT_EQ((*layer)->present_bytes(), kChunkBytes);
    ASSERT_TRUE(layers->Remove(Key()).ok());
  }
}

TEST_F(LayerStoreTest, KnowsWhatLayersTakeThatNobodyOpened) {
  uint64_t held_bytes = 0;
  {
    const auto layers = OpenStore();
    const auto layer = *Create(*layers);
    ASSERT_TRUE(Put(*layer, 1).ok());
    ASSERT_TRUE(layer->Checkpoint().ok());
    held_bytes = layers->room().held_bytes();
    EXPECT_EQ(held_bytes, DiskBytes(PathOf(Key())));
    EXPECT_EQ(held_bytes, layer->disk_bytes());
  }
  const auto layers = OpenStore();
  EXPECT_EQ(layers->room().held_bytes(), held_bytes);
  ASSERT_TRUE(layers->WriteDerived(Key(), "digests", Bytes(100'000)).ok());
  EXPECT_GE(layers->room().held_bytes(), held_bytes + 100'000);
  ASSERT_TRUE(layers->Remove(Key()).ok());
  EXPECT_EQ(layers->room().held_bytes(), 0U);
}

TEST_F(LayerStoreTest, ACrashBetweenAnyTwoStepsOfCreateLeavesAllOrNothing) {
  OpenStore();
  int step = 0;
  for (bool crashed = true; crashed; ++step) {
    ASSERT_LT(step, 200);
    crashed = CrashesAt(step, [&](LayerStore& layers) { (void)Create(layers); });
    const auto layers = OpenStore();
    const auto layer = layers->Find(Key());
    if (layer.ok()) {
      EXPECT_EQ(AsText((*layer)->index()), "the index");
      EXPECT_TRUE(Put(**layer, 1).ok());
    } else {
      EXPECT_EQ(layer.status().code(), StatusCode::kNotFound);
      EXPECT_THAT(MessageOf(layer.status()), HasSubstr("is not stored")) << "half a layer";
      EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
    }
    (void)layers->Remove(Key());
  }
  EXPECT_GT(step, 15) << "every call of Create should have been a crash";
}

TEST_F(LayerStoreTest, AFullDiskLeavesNothingBehind) {
  const auto layers = OpenStore();
  for (const uint64_t free_bytes : {0, 9, 20, 30, 100, 600}) {
    SCOPED_TRACE(free_bytes);
    files_.set_free_bytes(free_bytes);
    EXPECT_EQ(Create(*layers).status().code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
  }
  files_.set_free_bytes(1 << 20);
  EXPECT_TRUE(Create(*layers).ok());
}

/// A layer whose data came first; its chunks lie as those of StoreFixture.
StatusOr<std::shared_ptr<StoredLayer>> WriteAndCommit(LayerStore& layers, const LayerKey& key,
                                                      const LayerInfo& info, ByteSpan data) {
  ASSIGN_OR_RETURN(const std::unique_ptr<LayerWriter> writer, layers.Begin(key));
  RETURN_IF_ERROR(writer->Write(0, data));
  return writer->Commit(info, AsBytes("the index"), AsBytes("the chunk table"));
}

class LayerWriterTest : public LayerStoreTest {
 protected:
  static Bytes AllChunks() {
    Bytes data;
    for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
      const Bytes bytes = ChunkOf(chunk);
      data.insert(data.end(), bytes.begin(), bytes.end());
    }
    return data;
  }
  static void ExpectComplete(const StoredLayer& layer) {
    EXPECT_TRUE(layer.complete());
    EXPECT_EQ(layer.present_bytes(), kChunks * kChunkBytes);
    EXPECT_TRUE(layer.IsPresent(kChunks - 1));
    EXPECT_TRUE(HoldsRightBytes(layer, 0));
    EXPECT_TRUE(HoldsRightBytes(layer, kChunks - 1));
    EXPECT_EQ(AsText(layer.index()), "the index");
  }
};

TEST_F(LayerWriterTest, ALayerAppearsWithAllOfItsData) {
  {
    const auto layers = OpenStore();
    const auto writer = layers->Begin(Key());
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Write(kChunkBytes, ByteSpan(AllChunks()).subspan(kChunkBytes)).ok());
    ASSERT_TRUE((*writer)->Write(0, ByteSpan(AllChunks()).first(kChunkBytes)).ok());
    EXPECT_EQ(layers->Find(Key()).status().code(), StatusCode::kNotFound);
    EXPECT_TRUE(layers->List()->empty());
    const auto layer = (*writer)->Commit(Info(), AsBytes("the index"), AsBytes("the chunk table"));
    ASSERT_TRUE(layer.ok()) << layer.status();
    ExpectComplete(**layer);
    EXPECT_EQ(layers->Find(Key())->get(), layer->get());
  }
  const auto layers = OpenStore();
  ExpectComplete(**layers->Find(Key()));
}

TEST_F(LayerWriterTest, WithoutCommitNothingStays) {
  const auto layers = OpenStore();
  {
    const auto writer = layers->Begin(Key());
    ASSERT_TRUE((*writer)->Write(0, AllChunks()).ok());
  }
  EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
}

TEST_F(LayerWriterTest, WhatIsThereAlreadyStays) {
  const auto layers = OpenStore();
  const auto first = *Create(*layers);
  const auto second = WriteAndCommit(*layers, Key(), Info(), AllChunks());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->get(), first.get());
  EXPECT_FALSE(first->complete());
}

TEST_F(LayerWriterTest, ALossOfPowerBeforeTheCheckpointLeavesNoChunks) {
  for (const bool has_checkpoint : {false, true}) {
    SCOPED_TRACE(has_checkpoint);
    SetBoot("1");
    {
      const auto layers = OpenStore();
      (void)layers->Remove(Key());
      const auto layer = WriteAndCommit(*layers, Key(), Info(), AllChunks());
      ASSERT_TRUE(layer.ok()) << layer.status();
      if (has_checkpoint) {
        ASSERT_TRUE((*layer)->Checkpoint().ok());
      }
    }
    SetBoot("2");
    const auto layers = OpenStore();
    const auto layer = layers->Find(Key());
    ASSERT_TRUE(layer.ok()) << layer.status();
    EXPECT_EQ((*layer)->complete(), has_checkpoint);
    EXPECT_EQ((*layer)->IsPresent(0), has_checkpoint);
  }
}

TEST_F(LayerWriterTest, ACrashBetweenAnyTwoStepsLeavesAllOrNothing) {
  OpenStore();
  int step = 0;
  for (bool crashed = true; crashed; ++step) {
    ASSERT_LT(step, 200);
    crashed = CrashesAt(step, [&](LayerStore& layers) {
      (void)WriteAndCommit(layers, Key(), Info(), AllChunks());
    });
    const auto layers = OpenStore();
    const auto layer = layers->Find(Key());
    if (layer.ok()) {
      ExpectComplete(**layer);
    } else {
      EXPECT_THAT(MessageOf(layer.status()), HasSubstr("is not stored")) << "half a layer";
      EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
    }
    (void)layers->Remove(Key());
  }
  EXPECT_GT(step, 15) << "every call should have been a crash";
}

TEST_F(LayerWriterTest, AFullDiskLeavesNothingBehind) {
  const auto layers = OpenStore();
  const uint64_t data_bytes = kChunks * kChunkBytes;
  for (const uint64_t free_bytes : {uint64_t{0}, data_bytes - 1, data_bytes + 20}) {
    SCOPED_TRACE(free_bytes);
    files_.set_free_bytes(free_bytes);
    EXPECT_EQ(WriteAndCommit(*layers, Key(), Info(), AllChunks()).status().code(),
              StatusCode::kResourceExhausted);
    EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
  }
}

TEST_F(LayerWriterTest, RefusesImpossibleSizes) {
  const auto layers = OpenStore();
  EXPECT_EQ(WriteAndCommit(*layers, Key(), {.chunk_count = uint64_t{1} << 33}, {}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(LayerStoreTest, CreateReturnsWhatIsThere) {
  const auto layers = OpenStore();
  const auto first = *Create(*layers);
  const auto second = layers->Create(Key(), Info(), AsBytes("another index"), {});
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->get(), first.get());
  EXPECT_EQ(layers->Find(Key())->get(), first.get());
}

TEST_F(LayerStoreTest, RefusesImpossibleSizes) {
  const auto layers = OpenStore();
  EXPECT_EQ(layers->Create(Key(), {.chunk_count = uint64_t{1} << 33}, {}, {}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(layers->Create(Key(), {.data_size_bytes = uint64_t{1} << 45}, {}, {}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(LayerStoreTest, HoldsALayerWithoutContent) {
  const auto layers = OpenStore();
  const auto layer = layers->Create(Key(), {}, AsBytes("index"), {});
  ASSERT_TRUE(layer.ok()) << Describe(layer.status());
  EXPECT_TRUE((*layer)->complete());
  EXPECT_FALSE((*layer)->IsPresent(0));
}

TEST_F(LayerStoreTest, HoldersKeepReadingARemovedLayer) {
  const auto layers = OpenStore();
  const auto held = *Create(*layers);
  ASSERT_TRUE(Put(*held, 1).ok());
  ASSERT_TRUE(layers->Remove(Key()).ok());
  EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
  EXPECT_EQ(layers->Find(Key()).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(layers->Remove(Key()).code(), StatusCode::kNotFound);
  EXPECT_TRUE(HoldsRightBytes(*held, 1));
  EXPECT_TRUE(Put(*held, 2).ok());
  EXPECT_TRUE(HoldsRightBytes(*held, 2));

  const auto successor = *Create(*layers);
  EXPECT_NE(successor.get(), held.get());
  EXPECT_FALSE(successor->IsPresent(1));
  EXPECT_TRUE(held->Checkpoint().ok());
  EXPECT_FALSE(std::filesystem::exists(PathOf(Key()) / "present.synced"))
      << "the old layer's bits must not become the new one's";
}

TEST_F(LayerStoreTest, RemovesADamagedLayer) {
  const struct {
    std::string_view name;
    std::function<void(const std::filesystem::path&)> damage;
  } cases[] = {
      {"other index", [&](const auto& path) { WriteText(path / "index", "tHe index"); }},
      {"short index", [&](const auto& path) { WriteText(path / "index", "the inde"); }},
      {"other table", [&](const auto& path) { WriteText(path / "chunks", "tHe chunk table"); }},
      {"no table", [](const auto& path) { std::filesystem::remove(path / "chunks"); }},
      {"short data", [](const auto& path) { std::filesystem::resize_file(path / "data", 9); }},
      {"no data", [](const auto& path) { std::filesystem::remove(path / "data"); }},
      {"no record", [](const auto& path) { std::filesystem::remove(path / "layer.json"); }},
      {"empty record", [&](const auto& path) { WriteText(path / "layer.json", ""); }},
      {"huge record",
       [&](const auto& path) { WriteText(path / "layer.json", std::string(1 << 20, ' ')); }},
      {"record of another layer",
       [&](const auto& path) {
         std::filesystem::remove(path / "layer.json");
         std::filesystem::copy_file(PathOf(Key("other")) / "layer.json", path / "layer.json");
       }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto layers = OpenStore();
    ASSERT_TRUE(Create(*layers, Key("other")).ok());
    ASSERT_TRUE(Create(*layers).ok());
    c.damage(PathOf(Key()));
    const auto found = layers->Find(Key());
    EXPECT_EQ(found.status().code(), StatusCode::kNotFound);
    EXPECT_THAT(MessageOf(found.status()), HasSubstr("was damaged and is removed"));
    EXPECT_THAT(*layers->List(), UnorderedElementsAre(Key("other")));
  }
}

TEST_F(LayerStoreTest, AReadErrorIsNoDamage) {
  const auto layers = OpenStore();
  ASSERT_TRUE(Create(*layers).ok());
  files_.set_hook([](const FaultyFileSystem::Call& call) {
    return call.operation == FaultyFileSystem::Operation::kOpen &&
                   call.path.filename() == "present.synced"
               ? ErrnoError(EMFILE, "open")
               : OkStatus();
  });
  EXPECT_EQ(layers->Find(Key()).status().code(), StatusCode::kInternal);
  files_.set_hook({});
  EXPECT_TRUE(layers->Find(Key()).ok());
}

TEST_F(LayerStoreTest, OneProcessAtATime) {
  auto layers = OpenStore();
  const auto second = LayerStore::Open(root_, files_);
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(second.status()), HasSubstr(root_.string()));
  auto layer = *Create(*layers);
  layers.reset();
  EXPECT_FALSE(LayerStore::Open(root_, files_).ok()) << "a layer is still held";
  layer.reset();
  EXPECT_TRUE(LayerStore::Open(root_, files_).ok());
}

TEST_F(LayerStoreTest, TheLockGoesOnWithWhoeverKeepsIt) {
  auto layers = OpenStore();
  StatusOr<UniqueFd> kept = layers->CopyLock();
  ASSERT_TRUE(kept.ok()) << kept.status();
  layers.reset();
  EXPECT_EQ(LayerStore::Open(root_, files_).status().code(), StatusCode::kFailedPrecondition)
      << "kept for a successor";
  const auto successor = LayerStore::Open(root_, files_, {}, *std::move(kept));
  EXPECT_TRUE(successor.ok()) << successor.status();
}

TEST_F(LayerStoreTest, RefusesOtherDirectoriesUntouched) {
  const struct {
    std::string_view name;
    std::string file;
    std::string text;
    StatusCode want;
    std::string_view message;
  } cases[] = {
      {"newer version", "version", "2\n", StatusCode::kFailedPrecondition, "version 2"},
      {"damaged version", "version", "1x\n", StatusCode::kDataLoss, "damaged"},
      {"empty version", "version", "", StatusCode::kDataLoss, "damaged"},
      {"something else", "holiday.jpg", "x", StatusCode::kFailedPrecondition, "holiday.jpg"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::filesystem::remove_all(root_);
    ASSERT_TRUE(MakeDirectories(root_ / ".new-other", 0700).ok());
    WriteText(root_ / c.file, c.text);
    const auto opened = LayerStore::Open(root_, files_);
    EXPECT_EQ(opened.status().code(), c.want);
    EXPECT_THAT(MessageOf(opened.status()), HasSubstr(root_.string()));
    if (c.file == "version") {
      EXPECT_THAT(MessageOf(opened.status()), HasSubstr(c.message));
    }
    EXPECT_THAT(RootEntries(), UnorderedElementsAre(".new-other", c.file));
  }
}

TEST_F(LayerStoreTest, RemovesLeftoversOfACrash) {
  OpenStore();
  ASSERT_TRUE(MakeDirectories(root_ / ".new-abc", 0700).ok());
  ASSERT_TRUE(MakeDirectories(root_ / ".old-abc/layer", 0700).ok());
  WriteText(root_ / ".old-abc/layer/data", "x");
  const auto layers = OpenStore();
  EXPECT_THAT(RootEntries(), UnorderedElementsAre("lock", "version"));
}

TEST_F(LayerStoreTest, IsPrivate) {
  OpenStore();
  EXPECT_EQ(std::filesystem::status(root_).permissions(), std::filesystem::perms::owner_all);
}

TEST_F(LayerStoreTest, AllThreadsGetOneObject) {
  const auto layers = OpenStore();
  std::vector<std::shared_ptr<StoredLayer>> got(4);
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&] { mine = Create(*layers).value_or(nullptr); });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  ASSERT_NE(got[0], nullptr);
  EXPECT_THAT(got, testing::Each(got[0]));
  EXPECT_EQ(layers->List()->size(), 1);
}

TEST_F(LayerStoreTest, WhatIsDerivedGoesWithItsLayer) {
  const auto layers = OpenStore();
  EXPECT_EQ(layers->WriteDerived(Key(), "derived", AsBytes("x")).code(), StatusCode::kNotFound);
  ASSERT_TRUE(Create(*layers).ok());
  EXPECT_EQ(layers->ReadDerived(Key(), "derived", 10).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(layers->WriteDerived(Key(), "derived", AsBytes("one")).ok());
  ASSERT_TRUE(layers->WriteDerived(Key(), "derived", AsBytes("two")).ok());
  const auto read = layers->ReadDerived(Key(), "derived", 3);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(AsText(*read), "two");
  EXPECT_EQ(layers->ReadDerived(Key(), "derived", 2).status().code(),
            StatusCode::kResourceExhausted);
  ASSERT_TRUE(layers->Remove(Key()).ok());
  EXPECT_EQ(layers->ReadDerived(Key(), "derived", 10).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::store
