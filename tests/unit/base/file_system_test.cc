#include "base/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

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

TEST_F(FileSystemTest, ThoseWhoReplaceAFileAtOnceDoNotDisturbEachOther) {
  const auto path = directory_.path() / "file";
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes("first"), 0600).ok());
  {
    std::vector<std::jthread> writers;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      writers.emplace_back([&, letter] {
        // Of different lengths: what is left of another's would show.
        const std::string text(10 * static_cast<size_t>(letter - 'a' + 1), letter);
        for (int i = 0; i < 50; ++i) {
          EXPECT_TRUE(WriteFileAtomically(files_, path, AsBytes(text), 0600).ok());
          const auto read = ReadFile(files_, path, 100);
          ASSERT_TRUE(read.ok()) << read.status();
          const std::string_view found = AsText(*read);
          ASSERT_FALSE(found.empty());
          EXPECT_EQ(found, std::string(10 * static_cast<size_t>(found[0] - 'a' + 1), found[0]));
        }
      });
    }
  }
  const auto entries = std::filesystem::directory_iterator(directory_.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(FileSystemTest, TellsWhatIsInMemory) {
  const auto path = directory_.path() / "data";
  const std::string content(1 << 20, 'c');
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes(content), 0600).ok());
  const auto file = files_.Open(path, O_RDONLY, 0);
  ASSERT_TRUE(file.ok()) << file.status();
  Bytes out(content.size());
  const auto cached = [&] { return *files_.ReadCached(file->get(), 0, out); };
  EXPECT_EQ(cached(), content.size()) << "just written";
  EXPECT_EQ(AsText(out), content);
  EXPECT_EQ(files_.ReadCached(file->get(), content.size(), out).status().code(),
            StatusCode::kOutOfRange);

  ASSERT_EQ(::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  std::byte last{};
  if (*files_.ReadCached(file->get(), content.size() - 1, {&last, 1}) == 1) {
    GTEST_SKIP() << "the temporary directory is in memory";
  }
  files_.ReadAhead(file->get(), 0, content.size());
  while (cached() < content.size()) {
    std::this_thread::yield();
  }
  EXPECT_EQ(AsText(out), content);
}

TEST_F(FileSystemTest, WhatACrashLeftOfAFileIsReplaced) {
  const auto path = directory_.path() / "file";
  std::ofstream(path.string() + ".new") << "left, and longer";
  ASSERT_TRUE(WriteFileAtomically(files_, path, AsBytes("whole"), 0600).ok());
  EXPECT_EQ(AsText(*ReadFile(files_, path, 100)), "whole");
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
