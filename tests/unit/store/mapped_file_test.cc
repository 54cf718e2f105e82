#include "store/mapped_file.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/temp_dir.h"

namespace starling::store {
namespace {

TEST(MappedFile, MapsAWholeFileOfTheExpectedSize) {
  const TempDir directory = *TempDir::Make(testing::TempDir(), "mapped_file");
  FileSystem& files = RealFileSystem();
  const auto path = directory.path() / "file";
  ASSERT_TRUE(WriteFileAtomically(files, path, AsBytes("content"), 0400).ok());
  auto file = MappedFile::Open(files, path, MappedFile::Access::kRead, 7);
  ASSERT_TRUE(file.ok());
  const MappedFile moved = *std::move(file);
  EXPECT_EQ(AsText(moved.bytes()), "content");
  EXPECT_EQ(MappedFile::Open(files, path, MappedFile::Access::kRead, 8).status().code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(MappedFile::Open(files, directory.path() / "none", MappedFile::Access::kRead, 8)
                .status()
                .code(),
            StatusCode::kNotFound);
}

TEST(MappedFile, WritesThroughAndMapsNothing) {
  const TempDir directory = *TempDir::Make(testing::TempDir(), "mapped_file");
  FileSystem& files = RealFileSystem();
  const auto path = directory.path() / "file";
  ASSERT_TRUE(WriteFileAtomically(files, path, AsBytes("old"), 0600).ok());
  {
    const auto file = MappedFile::Open(files, path, MappedFile::Access::kReadAndWrite, 3);
    ASSERT_TRUE(file.ok());
    std::ranges::copy(AsBytes("new"), file->bytes().begin());
  }
  EXPECT_EQ(AsText(*ReadFile(files, path, 10)), "new");
  ASSERT_TRUE(WriteFileAtomically(files, path, {}, 0600).ok());
  EXPECT_TRUE(MappedFile::Open(files, path, MappedFile::Access::kRead, 0)->bytes().empty());
}

}  // namespace
}  // namespace starling::store
