#include "base/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"

namespace starling {
namespace {

class FileSystemTest : public testing::Test {
 protected:
  TempDir directory_ = *TempDir::Make(testing::TempDir(), "file_system");
  FileSystem& files_ = RealFileSystem();
};

TEST_F(FileSystemTest, AtomicWriteReplacesAndLeavesNothingElse) {
  const auto path = directory_.path() / "state";
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes("one"), 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes("two"), 0600).ok());
  EXPECT_EQ(AsText(*ReadFile(files_, path, 100)), "two");
  const auto entries = std::filesystem::directory_iterator(directory_.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(FileSystemTest, ReadFileRefusesMoreThanItsLimit) {
  const auto path = directory_.path() / "large";
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes("0123456789"), 0600).ok());
  EXPECT_EQ(ReadFile(files_, path, 9).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(files_, directory_.path() / "none", 9).status().code(), StatusCode::kNotFound);
}

TEST_F(FileSystemTest, ReadAtFailsPastTheEnd) {
  const auto path = directory_.path() / "short";
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes("abc"), 0600).ok());
  const auto fd = files_.Open(path, O_RDONLY, 0);
  Bytes out(4);
  EXPECT_EQ(files_.ReadAt(fd->get(), 0, out).code(), StatusCode::kOutOfRange);
}

TEST_F(FileSystemTest, MakeDirectoriesAcceptsWhatExists) {
  const auto path = directory_.path() / "a/b/c";
  EXPECT_TRUE(MakeDirectories(path, 0700).ok());
  EXPECT_TRUE(MakeDirectories(path, 0700).ok());
  EXPECT_TRUE(std::filesystem::is_directory(path));
}

}  // namespace
}  // namespace starling
