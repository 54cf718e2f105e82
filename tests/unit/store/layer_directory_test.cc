#include "store/layer_directory.h"

#include <gmock/gmock.h>

#include "tests/support/store_fixture.h"

namespace starling::store {
namespace {

using testing_support::FaultyFileSystem;
using Operation = FaultyFileSystem::Operation;

class LayerDirectoryTest : public testing_support::StoreFixture {
 protected:
  LayerDirectoryTest() {
    EXPECT_TRUE(MakeDirectories(path_, 0700).ok());
    EXPECT_TRUE(
        LayerDirectory::Write(files_, path_, record_, AsBytes("index"), AsBytes("table"), "boot 1")
            .ok());
  }
  StatusOr<LayerDirectory> Open(std::string_view boot_id) {
    return LayerDirectory::Open(files_, path_, record_.key, boot_id);
  }
  Status Checkpoint(LayerDirectory& opened) {
    ASSIGN_OR_RETURN(Bytes chunks, opened.SyncChunks(files_));
    return opened.NoteSynced(files_, std::move(chunks));
  }
  static std::vector<uint64_t> Doubtful(const LayerDirectory& opened) {
    std::vector<uint64_t> chunks;
    for (uint64_t chunk = 0; chunk < kChunks; ++chunk) {
      if (PresenceMap::Has(opened.doubtful, chunk)) {
        chunks.push_back(chunk);
      }
    }
    return chunks;
  }
  /// The position of the first such call at or after `from`.
  size_t PositionOf(Operation operation, const std::filesystem::path& path, size_t from = 0) {
    const auto calls = files_.calls();
    const auto at = std::find(calls.begin() + static_cast<ptrdiff_t>(from), calls.end(),
                              FaultyFileSystem::Call{operation, path});
    EXPECT_NE(at, calls.end()) << path;
    return static_cast<size_t>(at - calls.begin());
  }

  std::filesystem::path path_ = directory_.path() / "one";
  LayerRecord record_ = {
      .key = Key(),
      .info = Info(),
      .index = {.size_bytes = 5, .digest = oci::Digest::Of(AsBytes("index"))},
      .chunk_table = {.size_bytes = 5, .digest = oci::Digest::Of(AsBytes("table"))}};
};

TEST_F(LayerDirectoryTest, OpensWhatItWrote) {
  const auto opened = Open("boot 1");
  ASSERT_TRUE(opened.ok()) << Describe(opened.status());
  EXPECT_EQ(opened->record, record_);
  EXPECT_EQ(AsText(opened->index.bytes()), "index");
  EXPECT_EQ(AsText(opened->chunk_table.bytes()), "table");
  EXPECT_EQ(opened->present->present_count(), 0);
  EXPECT_EQ(std::filesystem::file_size(path_ / "data"), 503808) << "500000, in whole blocks";
  EXPECT_EQ(std::filesystem::status(path_ / "index").permissions(),
            std::filesystem::perms::owner_read);
}

TEST_F(LayerDirectoryTest, ForcesToTheDiskOnlyWhatItCannotBeOpenedWithout) {
  std::vector<std::string> forced;
  for (const FaultyFileSystem::Call& call : files_.calls()) {
    if (call.operation == Operation::kSync) {
      forced.push_back(call.path.lexically_relative(path_));
    }
  }
  EXPECT_THAT(forced, testing::ElementsAre("index", "chunks", "layer.json", "."));
}

TEST_F(LayerDirectoryTest, WhatWasNotForcedToTheDiskMayBeLostWithPower) {
  for (const char* name : {"data", "present", "boot"}) {
    SCOPED_TRACE(name);
    std::filesystem::resize_file(path_ / name, 0);
    const auto opened = Open(name);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->present->present_count(), 0);
    EXPECT_EQ(std::filesystem::file_size(path_ / "data"), 503808);
  }
}

TEST_F(LayerDirectoryTest, DataIsNotShorterInTheSameBootOrAfterACheckpoint) {
  const auto shorter = [this](std::string_view boot_id) {
    std::filesystem::resize_file(path_ / "data", 4096);
    return Open(boot_id).status();
  };
  EXPECT_EQ(shorter("boot 1").code(), StatusCode::kDataLoss);
  std::filesystem::resize_file(path_ / "data", 503808);
  {
    auto opened = Open("boot 1");
    opened->present->Set(1, 10);
    ASSERT_TRUE(Checkpoint(*opened).ok());
  }
  EXPECT_EQ(shorter("boot 2").code(), StatusCode::kDataLoss);
}

TEST_F(LayerDirectoryTest, ACheckpointSyncsDataBeforeItSaysSo) {
  auto opened = Open("boot 1");
  opened->present->Set(7, 10);
  const size_t before = files_.calls().size();
  ASSERT_TRUE(Checkpoint(*opened).ok());
  EXPECT_LT(PositionOf(Operation::kSync, path_ / "data", before),
            PositionOf(Operation::kRename, path_ / "present.synced", before));
}

TEST_F(LayerDirectoryTest, AFailedSyncIsNoCheckpoint) {
  auto opened = Open("boot 1");
  opened->present->Set(7, 10);
  files_.set_hook([](const FaultyFileSystem::Call& call) {
    return call.operation == Operation::kSync && call.path.filename() == "data"
               ? ErrnoError(EIO, "fdatasync")
               : OkStatus();
  });
  EXPECT_EQ(Checkpoint(*opened).code(), StatusCode::kInternal);
  files_.set_hook({});
  EXPECT_EQ(Open("boot 2")->present->present_count(), 0);
}

TEST_F(LayerDirectoryTest, AnotherBootTrustsTheLastCheckpointOnly) {
  {
    auto opened = Open("boot 1");
    opened->present->Set(1, 10);
    ASSERT_TRUE(Checkpoint(*opened).ok());
    opened->present->Set(2, 10);
  }
  EXPECT_TRUE(Open("boot 1")->present->IsSet(2)) << "the same boot trusts all";
  {
    const auto opened = Open("boot 2");
    EXPECT_TRUE(opened->present->IsSet(1));
    EXPECT_FALSE(opened->present->IsSet(2));
    EXPECT_EQ(opened->present->present_bytes(), 10);
    EXPECT_THAT(Doubtful(*opened), testing::ElementsAre(2));
    opened->present->Set(3, 10);
  }
  EXPECT_THAT(Doubtful(*Open("boot 2")), testing::ElementsAre(2)) << "until it is verified";
  EXPECT_TRUE(Open("boot 2")->present->IsSet(3)) << "its own bits count";
}

TEST_F(LayerDirectoryTest, AnotherBootTrustsNothingWithoutACheckpoint) {
  Open("boot 1")->present->Set(1, 10);
  ASSERT_TRUE(
      WriteFileAtomically(files_, path_ / "present.synced", AsBytes("nonsense"), 0600).ok());
  EXPECT_EQ(Open("boot 2")->present->present_count(), 0);
}

TEST_F(LayerDirectoryTest, ForgettingIsDoneAgainAfterACrash) {
  Open("boot 1")->present->Set(1, 10);
  files_.set_hook([this](const FaultyFileSystem::Call& call) {
    return call == FaultyFileSystem::Call{Operation::kRename, path_ / "boot"}
               ? ErrnoError(EIO, "crash")
               : OkStatus();
  });
  EXPECT_EQ(Open("boot 2").status().code(), StatusCode::kInternal);
  files_.set_hook({});
  const auto opened = Open("boot 2");
  EXPECT_EQ(opened->present->present_count(), 0);
  EXPECT_THAT(Doubtful(*opened), testing::ElementsAre(1));
}

TEST_F(LayerDirectoryTest, WithoutItsBitsAllIsDoubtful) {
  {
    auto opened = Open("boot 1");
    opened->present->Set(1, 10);
    ASSERT_TRUE(Checkpoint(*opened).ok());
  }
  std::filesystem::resize_file(path_ / "present", 9);
  const auto opened = Open("boot 1");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->present->present_count(), 1);
  EXPECT_EQ(Doubtful(*opened).size(), kChunks - 1);
  LayerDirectory::ForgetDoubtful(path_);
  EXPECT_TRUE(Doubtful(*Open("boot 1")).empty());
}

TEST_F(LayerDirectoryTest, CountsWhatItTakesOfTheDisk) {
  const uint64_t before = DiskBytes(path_);
  EXPECT_GE(before, 5 * 4096U);
  EXPECT_LT(before, 100'000U) << "holes take nothing";
  const auto opened = Open("boot 1");
  const Bytes bytes(kChunkBytes * kChunks, std::byte{1});
  ASSERT_TRUE(files_.WriteAt(opened->data_for_writing.get(), 0, bytes).ok());
  EXPECT_GE(DiskBytes(path_), before + bytes.size());
  EXPECT_EQ(DiskBytes(path_ / "none"), 0U);
}

}  // namespace
}  // namespace starling::store
