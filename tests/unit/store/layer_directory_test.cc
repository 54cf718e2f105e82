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

TEST_F(LayerDirectoryTest, SyncsEveryFileThenTheDirectory) {
  const size_t directory_synced = PositionOf(Operation::kSync, path_);
  for (const char* name : {"index", "chunks", "data", "present", "boot", "layer.json"}) {
    EXPECT_LT(PositionOf(Operation::kSync, path_ / name), directory_synced) << name;
  }
}

TEST_F(LayerDirectoryTest, ACheckpointSyncsDataBeforeItSaysSo) {
  auto opened = Open("boot 1");
  opened->present->Set(7, 10);
  const size_t before = files_.calls().size();
  ASSERT_TRUE(opened->Checkpoint(files_).ok());
  EXPECT_LT(PositionOf(Operation::kSync, path_ / "data", before),
            PositionOf(Operation::kRename, path_ / "present.synced", before));
  const size_t after = files_.calls().size();
  ASSERT_TRUE(opened->Checkpoint(files_).ok());
  EXPECT_EQ(files_.calls().size(), after) << "nothing is new";
}

TEST_F(LayerDirectoryTest, AFailedSyncIsNoCheckpoint) {
  auto opened = Open("boot 1");
  opened->present->Set(7, 10);
  files_.set_hook([](const FaultyFileSystem::Call& call) {
    return call.operation == Operation::kSync && call.path.filename() == "data"
               ? ErrnoError(EIO, "fdatasync")
               : OkStatus();
  });
  EXPECT_EQ(opened->Checkpoint(files_).code(), StatusCode::kInternal);
  files_.set_hook({});
  EXPECT_EQ(Open("boot 2")->present->present_count(), 0);
}

TEST_F(LayerDirectoryTest, AnotherBootTrustsTheLastCheckpointOnly) {
  {
    auto opened = Open("boot 1");
    opened->present->Set(1, 10);
    ASSERT_TRUE(opened->Checkpoint(files_).ok());
    opened->present->Set(2, 10);
  }
  EXPECT_TRUE(Open("boot 1")->present->IsSet(2)) << "the same boot trusts all";
  {
    const auto opened = Open("boot 2");
    EXPECT_TRUE(opened->present->IsSet(1));
    EXPECT_FALSE(opened->present->IsSet(2));
    EXPECT_EQ(opened->present->present_bytes(), 10);
    opened->present->Set(3, 10);
  }
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
  EXPECT_EQ(Open("boot 2")->present->present_count(), 0);
}

}  // namespace
}  // namespace starling::store
