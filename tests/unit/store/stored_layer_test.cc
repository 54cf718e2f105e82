#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "store/layer_directory.h"
#include "tests/support/store_fixture.h"

namespace starling::store {
namespace {

using testing_support::FaultyFileSystem;

class StoredLayerTest : public testing_support::StoreFixture {
 protected:
  std::unique_ptr<LayerStore> layers_ = OpenStore();
  std::shared_ptr<StoredLayer> layer_ = *Create(*layers_);
};

TEST_F(StoredLayerTest, HoldsWhatWasPut) {
  EXPECT_EQ(layer_->key(), Key());
  EXPECT_EQ(layer_->info(), Info());
  EXPECT_EQ(AsText(layer_->index()), "the index");
  EXPECT_EQ(AsText(layer_->chunk_table()), "the chunk table");
  EXPECT_FALSE(layer_->complete());
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    EXPECT_FALSE(layer_->IsPresent(chunk));
    ASSERT_TRUE(Put(*layer_, chunk).ok());
    EXPECT_TRUE(layer_->IsPresent(chunk));
    EXPECT_EQ(layer_->present_bytes(), (chunk + 1) * kChunkBytes);
  }
  EXPECT_TRUE(layer_->complete());
  EXPECT_FALSE(layer_->IsPresent(kChunks));
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    EXPECT_TRUE(HoldsRightBytes(*layer_, chunk));
  }
  std::byte byte;
  EXPECT_EQ(::pread(layer_->data_fd(), &byte, 1, kChunkBytes), 1);
  EXPECT_EQ(byte, std::byte{2});
  EXPECT_EQ(::fcntl(layer_->data_fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
  const auto index = ReadFile(RealFileSystem(), layer_->index_path(), 100);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(AsText(*index), "the index");
  EXPECT_EQ(std::filesystem::file_size(layer_->data_path()), 503808U) << "whole blocks";
}

TEST_F(StoredLayerTest, WritesNothingThatIsNotVerified) {
  const Bytes bytes = ChunkOf(0);
  const auto digest = oci::Digest::Of(bytes);
  const Bytes changed = ChunkOf(1);
  const struct {
    std::string_view name;
    uint64_t chunk;
    uint64_t data_address;
    ByteSpan bytes;
    StatusCode want;
  } cases[] = {
      {"other bytes", 0, 0, changed, StatusCode::kDataLoss},
      {"fewer bytes", 0, 0, ByteSpan(bytes).first(10), StatusCode::kDataLoss},
      {"no such chunk", kChunks, 0, bytes, StatusCode::kInvalidArgument},
      {"beyond the data", 0, Info().data_size_bytes - 1, bytes, StatusCode::kInvalidArgument},
      {"far beyond the data", 0, ~uint64_t{0}, bytes, StatusCode::kInvalidArgument},
  };
  const size_t calls = files_.calls().size();
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(layer_->Put(c.chunk, c.data_address, c.bytes, digest).code(), c.want);
    EXPECT_FALSE(layer_->IsPresent(c.chunk));
  }
  EXPECT_EQ(files_.calls().size(), calls);
}

TEST_F(StoredLayerTest, WritesAChunkOnce) {
  ASSERT_TRUE(Put(*layer_, 3).ok());
  const size_t calls = files_.calls().size();
  EXPECT_TRUE(Put(*layer_, 3).ok());
  EXPECT_EQ(files_.calls().size(), calls);
  EXPECT_EQ(layer_->present_bytes(), kChunkBytes);
}

TEST_F(StoredLayerTest, AFullDiskCostsTheChunkOnly) {
  ASSERT_TRUE(Put(*layer_, 1).ok());
  files_.set_free_bytes(kChunkBytes / 2);
  EXPECT_EQ(Put(*layer_, 2).code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(layer_->IsPresent(2));
  EXPECT_TRUE(HoldsRightBytes(*layer_, 1));
  files_.set_free_bytes(1 << 20);
  EXPECT_TRUE(Put(*layer_, 2).ok());
  EXPECT_TRUE(layer_->IsPresent(2));
  EXPECT_TRUE(HoldsRightBytes(*layer_, 2));
}

TEST_F(StoredLayerTest, SetsTheBitAfterTheBytes) {
  bool present_during_write = false;
  files_.set_hook([&](const FaultyFileSystem::Call& call) {
    if (call.operation == FaultyFileSystem::Operation::kWrite) {
      present_during_write = present_during_write || layer_->IsPresent(5);
    }
    return OkStatus();
  });
  ASSERT_TRUE(Put(*layer_, 5).ok());
  EXPECT_FALSE(present_during_write);
  EXPECT_TRUE(layer_->IsPresent(5));
}

TEST_F(StoredLayerTest, WhatIsPresentIsReadableFromEveryThread) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (uint64_t writer = 0; writer < 2; ++writer) {
    // Both put every chunk, from different ends.
    threads.emplace_back([&, writer] {
      for (uint64_t i = 0; i < kChunks; ++i) {
        wrong += Put(*layer_, writer == 0 ? i : kChunks - 1 - i).ok() ? 0 : 1;
      }
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      for (uint64_t chunk = 0; chunk < kChunks;) {
        if (layer_->IsPresent(chunk)) {
          wrong += HoldsRightBytes(*layer_, chunk) ? 0 : 1;
          ++chunk;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!layer_->complete()) {
      wrong += layer_->Checkpoint().ok() ? 0 : 1;
    }
  });
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(layer_->complete());
  EXPECT_EQ(layer_->present_bytes(), kChunks * kChunkBytes);
}

class SharedChunkTest : public testing_support::StoreFixture {
 protected:
  /// Chunk `from` of the donor as chunk `to` of the layer.
  Status PutShared(uint64_t to, uint64_t from) {
    const Bytes bytes = ChunkOf(from);
    return layer_->PutShared(to, to * kChunkBytes, kChunkBytes, oci::Digest::Of(bytes),
                             {.layer = *donor_, .chunk = from, .data_address = from * kChunkBytes});
  }
  int Clones() const {
    const auto calls = files_.calls();
    return static_cast<int>(std::ranges::count(calls, FaultyFileSystem::Operation::kClone,
                                               &FaultyFileSystem::Call::operation));
  }

  std::unique_ptr<LayerStore> layers_ = OpenStore();
  std::shared_ptr<StoredLayer> donor_ = *Create(*layers_, Key("donor"));
  std::shared_ptr<StoredLayer> layer_ = *Create(*layers_);
};

TEST_F(SharedChunkTest, TakesWhatAnotherLayerHolds) {
  ASSERT_TRUE(Put(*donor_, 3).ok());
  const Status status = PutShared(3, 3);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(layer_->IsPresent(3));
  EXPECT_TRUE(HoldsRightBytes(*layer_, 3));
  EXPECT_EQ(layer_->present_bytes(), kChunkBytes);
  EXPECT_EQ(Clones(), 0) << "not at the border of a block";
}

TEST_F(SharedChunkTest, TakesNothingThatIsNotHeldOrNotAskedFor) {
  EXPECT_EQ(PutShared(3, 3).code(), StatusCode::kNotFound);
  ASSERT_TRUE(Put(*donor_, 3).ok());
  const Bytes other = ChunkOf(4);
  EXPECT_EQ(layer_
                ->PutShared(4, 4 * kChunkBytes, kChunkBytes, oci::Digest::Of(other),
                            {.layer = *donor_, .chunk = 3, .data_address = 3 * kChunkBytes})
                .code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(PutShared(kChunks, 3).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(layer_->present_bytes(), 0U);
  files_.set_free_bytes(10);
  EXPECT_EQ(PutShared(3, 3).code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(layer_->IsPresent(3));
}

TEST_F(SharedChunkTest, SharesBlocksAtTheirBordersAndCopiesTheRest) {
  ASSERT_TRUE(Put(*donor_, 0).ok());
  bool can_clone = true;
  files_.set_hook([&](const FaultyFileSystem::Call& call) {
    return call.operation == FaultyFileSystem::Operation::kClone && !can_clone
               ? MakeError(StatusCode::kUnimplemented, "an old file system")
               : OkStatus();
  });
  can_clone = false;
  const Bytes bytes = ChunkOf(0);
  const auto take = [&](uint64_t chunk, uint64_t data_address) {
    const Status status =
        layer_->PutShared(chunk, data_address, kChunkBytes, oci::Digest::Of(bytes),
                          {.layer = *donor_, .chunk = 0, .data_address = 0});
    EXPECT_TRUE(status.ok()) << status;
    Bytes out(kChunkBytes);
    EXPECT_TRUE(layer_->Read(data_address, out).ok());
    EXPECT_EQ(out, bytes);
  };
  take(1, 8192);
  EXPECT_EQ(Clones(), 1);
  take(2, 16384);
  EXPECT_EQ(Clones(), 1) << "what the file system cannot do is not tried again";
}

class EvictTest : public testing_support::StoreFixture {
 protected:
  static StatusOr<uint64_t> Evict(StoredLayer& layer, uint64_t first, uint64_t last) {
    const ChunkRun run{.first_chunk = first,
                       .last_chunk = last,
                       .data_address = first * kChunkBytes,
                       .size_bytes = (last - first) * kChunkBytes};
    return layer.Evict(std::span(&run, 1), [](uint64_t) { return kChunkBytes; });
  }
  static void PutAll(StoredLayer& layer) {
    for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
      ASSERT_TRUE(Put(layer, chunk).ok());
    }
  }
};

TEST_F(EvictTest, GivesUpChunksAndTheirRoom) {
  const auto layers = OpenStore();
  const auto layer = *Create(*layers);
  PutAll(*layer);
  ASSERT_TRUE(layer->Checkpoint().ok());
  const auto blocks = [&] {
    struct stat status{};
    EXPECT_EQ(::stat(layer->data_path().c_str(), &status), 0);
    return status.st_blocks * 512;
  };
  const auto before = blocks();
  const uint64_t held_before = layers->room().held_bytes();
  EXPECT_EQ(held_before, DiskBytes(layer->directory()));
  const uint64_t evictions = layer->evictions();
  EXPECT_EQ(Evict(*layer, 10, 90).value(), 80 * kChunkBytes);
  EXPECT_EQ(layer->evictions(), evictions + 1);
  EXPECT_EQ(Evict(*layer, 10, 90).value(), 0U);
  EXPECT_EQ(layers->room().held_bytes(), DiskBytes(layer->directory()));
  EXPECT_LE(layers->room().held_bytes(), held_before - 78 * kChunkBytes);
  EXPECT_EQ(layer->present_bytes(), 20 * kChunkBytes);
  EXPECT_LE(blocks(), before - static_cast<off_t>(78 * kChunkBytes));
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    EXPECT_EQ(layer->IsPresent(chunk), chunk < 10 || chunk >= 90);
    EXPECT_TRUE(!layer->IsPresent(chunk) || HoldsRightBytes(*layer, chunk)) << chunk;
  }
  ASSERT_TRUE(Put(*layer, 50).ok());
  EXPECT_TRUE(HoldsRightBytes(*layer, 50));
}

TEST_F(EvictTest, ALossOfPowerBringsNothingBack) {
  const auto layers = OpenStore();
  auto layer = *Create(*layers);
  PutAll(*layer);
  ASSERT_TRUE(layer->Checkpoint().ok());
  ASSERT_TRUE(Evict(*layer, 0, 50).ok());
  // No checkpoint after it.
  const auto copy = directory_.path() / "copy";
  std::filesystem::copy(root_, copy, std::filesystem::copy_options::recursive);
  SetBoot("2");
  const auto later = *LayerStore::Open(copy, files_);
  const auto found = later->Find(Key());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->present_bytes(), 50 * kChunkBytes);
  EXPECT_EQ(later->room().held_bytes(), DiskBytes((*found)->directory()));
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    EXPECT_EQ((*found)->IsPresent(chunk), chunk >= 50);
    EXPECT_TRUE(chunk < 50 || HoldsRightBytes(**found, chunk)) << chunk;
  }
}

TEST_F(EvictTest, FirstItIsSureThatNothingComesBack) {
  const auto layers = OpenStore();
  const auto layer = *Create(*layers);
  PutAll(*layer);
  ASSERT_TRUE(layer->Checkpoint().ok());
  files_.set_hook([](const FaultyFileSystem::Call& call) {
    return call.operation == FaultyFileSystem::Operation::kSync
               ? MakeError(StatusCode::kInternal, "the disk is broken")
               : OkStatus();
  });
  EXPECT_EQ(Evict(*layer, 0, 50).status().code(), StatusCode::kInternal);
  EXPECT_TRUE(layer->complete()) << "then nothing goes";
  EXPECT_TRUE(HoldsRightBytes(*layer, 0));
}

TEST_F(EvictTest, TheRoomFollowsLayersThatGo) {
  const auto layers = OpenStore();
  auto held = *Create(*layers);
  PutAll(*held);
  auto let_go = *Create(*layers, Key("other"));
  ASSERT_TRUE(Put(*let_go, 0).ok());
  const uint64_t both_bytes = layers->room().held_bytes();
  const uint64_t held_bytes = held->disk_bytes();
  EXPECT_EQ(both_bytes, held_bytes + let_go->disk_bytes());
  let_go.reset();
  EXPECT_EQ(layers->room().held_bytes(), both_bytes) << "it is still stored";
  EXPECT_TRUE(layers->Find(Key("other")).ok());
  EXPECT_LE(layers->room().held_bytes(), both_bytes) << "and counts once";
  ASSERT_TRUE(layers->Remove(Key("other")).ok());
  EXPECT_EQ(layers->room().held_bytes(), held_bytes);
  ASSERT_TRUE(layers->Remove(Key()).ok());
  EXPECT_EQ(layers->room().held_bytes(), held_bytes) << "its files are still open";
  held.reset();
  EXPECT_EQ(layers->room().held_bytes(), 0U);
}

TEST_F(EvictTest, WhatIsWrongGoesFromAPinnedLayerTooButLeavesNoHole) {
  const auto layers = OpenStore();
  const auto layer = *Create(*layers);
  PutAll(*layer);
  ASSERT_TRUE(layer->Checkpoint().ok());
  ASSERT_TRUE(layer->PinIfComplete());
  EXPECT_TRUE(layer->is_pinned());
  const ChunkRun run{.first_chunk = 3,
                     .last_chunk = 4,
                     .data_address = 3 * kChunkBytes,
                     .size_bytes = kChunkBytes};
  const auto chunk_bytes = [](uint64_t) { return kChunkBytes; };
  EXPECT_EQ(layer->Evict(std::span(&run, 1), chunk_bytes).value(), 0U);
  ASSERT_TRUE(layer->Drop(std::span(&run, 1), chunk_bytes).ok());
  EXPECT_FALSE(layer->IsPresent(3));
  EXPECT_TRUE(HoldsRightBytes(*layer, 3)) << "the bytes are as they were";
  EXPECT_FALSE(layer->PinIfComplete()) << "nobody else is to see it so";
  SetBoot("2");
  const auto copy = directory_.path() / "copy";
  std::filesystem::copy(root_, copy, std::filesystem::copy_options::recursive);
  const auto later = *LayerStore::Open(copy, files_);
  EXPECT_FALSE((*later->Find(Key()))->IsPresent(3)) << "even after a loss of power";
  ASSERT_TRUE(Put(*layer, 3).ok());
  EXPECT_TRUE(layer->PinIfComplete());
}

TEST_F(EvictTest, WhatTheKernelReadsStaysThoughItIsIncomplete) {
  const auto layers = OpenStore();
  const auto layer = *Create(*layers);
  ASSERT_TRUE(Put(*layer, 0).ok());
  layer->Pin();
  EXPECT_EQ(Evict(*layer, 0, 1).value(), 0U);
  EXPECT_TRUE(layer->IsPresent(0));
  EXPECT_FALSE(layer->PinIfComplete());
}

TEST_F(EvictTest, WhatTheDiskDoesNotGiveIsAbsent) {
  const auto layers = OpenStore();
  const auto layer = *Create(*layers);
  PutAll(*layer);
  layer->Distrust(7, kChunkBytes);
  layer->Distrust(7, kChunkBytes);
  layer->Distrust(kChunks, kChunkBytes);
  EXPECT_FALSE(layer->IsPresent(7));
  EXPECT_EQ(layer->present_bytes(), (kChunks - 1) * kChunkBytes);
  ASSERT_TRUE(Put(*layer, 7).ok());
  EXPECT_TRUE(layer->complete());
}

TEST_F(EvictTest, ACheckpointCoversNothingThatWentMeanwhile) {
  const auto layers = OpenStore();
  const auto layer = *Create(*layers);
  PutAll(*layer);
  // Given up and put again while the data is forced to the disk: then its bytes are not.
  int syncs = 0;
  files_.set_hook([&](const FaultyFileSystem::Call& call) {
    if (call.operation == FaultyFileSystem::Operation::kSync && call.path.filename() == "data" &&
        ++syncs == 1) {
      EXPECT_TRUE(Evict(*layer, 0, 2).ok());
      EXPECT_TRUE(Put(*layer, 1).ok());
    }
    return OkStatus();
  });
  ASSERT_TRUE(layer->Checkpoint().ok());
  EXPECT_EQ(syncs, 2);
  const auto synced = ReadFile(files_, layer->directory() / "present.synced", 1 << 20);
  ASSERT_TRUE(synced.ok());
  EXPECT_FALSE(PresenceMap::Has(*synced, 0));
  EXPECT_TRUE(PresenceMap::Has(*synced, 1));
}

class DoubtTest : public EvictTest {
 protected:
  /// The layer after a loss of power before which a checkpoint covered the first ten chunks, and of
  /// the other 20 the last 10 were lost.
  std::shared_ptr<StoredLayer> AfterLoss() {
    {
      const auto layers = OpenStore();
      const auto layer = *Create(*layers);
      for (uint64_t chunk = 0; chunk < 30; ++chunk) {
        EXPECT_TRUE(Put(*layer, chunk).ok());
        EXPECT_TRUE(chunk != 9 || layers->Checkpoint().ok());
      }
      const UniqueFd data(::open(layer->data_path().c_str(), O_WRONLY | O_CLOEXEC));
      EXPECT_EQ(::fallocate(data.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            20 * kChunkBytes, 10 * kChunkBytes),
                0);
    }
    SetBoot("2");
    layers_ = OpenStore();
    return *layers_->Find(Key());
  }
  std::unique_ptr<LayerStore> layers_;
};

TEST_F(DoubtTest, BitsAfterTheLastCheckpointAreVerified) {
  const auto layer = AfterLoss();
  EXPECT_EQ(layer->doubtful_count(), 20U);
  for (uint64_t chunk = 0; chunk < 40; ++chunk) {
    EXPECT_EQ(layer->IsPresent(chunk), chunk < 10) << chunk;
    EXPECT_EQ(layer->IsDoubtful(chunk), chunk >= 10 && chunk < 30) << chunk;
  }
  for (uint64_t chunk = 0; chunk < 40; ++chunk) {
    EXPECT_EQ(Reclaim(*layer, chunk).ok(), chunk < 20) << chunk;
    EXPECT_FALSE(layer->IsDoubtful(chunk));
    EXPECT_EQ(layer->IsPresent(chunk), chunk < 20) << chunk;
  }
  EXPECT_EQ(layer->present_bytes(), 20 * kChunkBytes);
  EXPECT_EQ(layer->doubtful_count(), 0U);
  EXPECT_TRUE(std::filesystem::exists(layer->directory() / "present.doubtful"));
  ASSERT_TRUE(layer->Checkpoint().ok());
  EXPECT_FALSE(std::filesystem::exists(layer->directory() / "present.doubtful"));
}

TEST_F(DoubtTest, OpeningReadsNoData) {
  const auto layer = AfterLoss();
  for (const auto& call : files_.calls()) {
    EXPECT_FALSE(call.operation == FaultyFileSystem::Operation::kRead &&
                 call.path.filename() == "data");
  }
}

TEST_F(DoubtTest, WhatIsFetchedAnewOrEvictedIsNotDoubtful) {
  const auto layer = AfterLoss();
  ASSERT_TRUE(Put(*layer, 25).ok());
  EXPECT_FALSE(layer->IsDoubtful(25));
  EXPECT_EQ(Evict(*layer, 10, 20).value(), 10 * kChunkBytes) << "it took room";
  EXPECT_EQ(layer->doubtful_count(), 9U);
  EXPECT_EQ(Reclaim(*layer, 15).code(), StatusCode::kNotFound);
}

TEST_F(DoubtTest, LastsUntilItIsSettled) {
  (void)AfterLoss();
  layers_.reset();
  SetBoot("3");
  const auto layers = OpenStore();
  const auto layer = *layers->Find(Key());
  EXPECT_EQ(layer->doubtful_count(), 20U);
  EXPECT_TRUE(Reclaim(*layer, 12).ok());
}

/// A file that is cut under its mapping answers as one does that the disk does not give.
class DamagedFilesTest : public EvictTest {
 protected:
  void Damage(std::string_view file) const {
    std::filesystem::resize_file(PathOf(Key()) / file, 0);
  }
};

TEST_F(DamagedFilesTest, NothingIsReadOrChangedByWhatCannotBeRead) {
  const auto layers = OpenStore();
  for (const std::string_view file : {"index", "chunks"}) {
    const auto layer = *Create(*layers);
    const auto other = *Create(*layers, Key("other"));
    PutAll(*layer);
    ASSERT_TRUE(Put(*other, 3).ok());
    Damage(file);
    EXPECT_TRUE(layer->CheckFiles().ok()) << "nobody has met it";
    layer->TouchFiles();
    const ByteSpan bytes = file == "index" ? layer->index() : layer->chunk_table();
    EXPECT_EQ(bytes.front(), std::byte{0});
    const Status status = layer->CheckFiles();
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_THAT(MessageOf(status), testing::HasSubstr((PathOf(Key()) / file).string()));
    Bytes out(kChunkBytes);
    EXPECT_EQ(layer->Read(0, out), status);
    EXPECT_EQ(Evict(*layer, 0, 1).status(), status);
    EXPECT_EQ(Put(*layer, 0), status);
    EXPECT_TRUE(layer->IsPresent(1)) << "so that nobody fetches it";
    EXPECT_FALSE(layer->complete());
    EXPECT_FALSE(layer->PinIfComplete());
    EXPECT_TRUE(layer->Checkpoint().ok());
    EXPECT_TRUE(HoldsRightBytes(*other, 3));
    ASSERT_TRUE(layers->Remove(Key()).ok());
    const auto anew = *Create(*layers);
    EXPECT_TRUE(anew->CheckFiles().ok());
    ASSERT_TRUE(Put(*anew, 0).ok());
    EXPECT_TRUE(HoldsRightBytes(*anew, 0));
    ASSERT_TRUE(layers->Remove(Key()).ok());
  }
}

TEST_F(DamagedFilesTest, ChunksWhoseBitsCannotBeReadAreAbsentAndNothingEvictedComesBack) {
  {
    const auto layers = OpenStore();
    const auto layer = *Create(*layers);
    PutAll(*layer);
    // As a disk that gives nothing now and what it had later.
    const auto present = PathOf(Key()) / "present";
    const Bytes before = *ReadFile(files_, present, 1 << 20);
    Damage("present");
    EXPECT_FALSE(layer->IsPresent(0));
    EXPECT_TRUE(layer->CheckFiles().ok());
    ASSERT_TRUE(Put(*layer, 0).ok());
    EXPECT_TRUE(layer->IsPresent(0));
    EXPECT_TRUE(HoldsRightBytes(*layer, 0));
    ASSERT_TRUE(WriteFileAtomically(files_, present, before, 0600).ok());
    ASSERT_TRUE(Evict(*layer, 0, 2).ok());
  }
  const auto layers = OpenStore();
  const auto layer = *layers->Find(Key());
  for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
    EXPECT_FALSE(layer->IsPresent(chunk));
    EXPECT_EQ(Reclaim(*layer, chunk).ok(), chunk >= 2) << chunk;
  }
}

}  // namespace
}  // namespace starling::store
