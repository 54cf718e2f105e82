#include "snapshotter/disk_usage.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/temp_dir.h"

namespace starling::snapshotter {
namespace {

namespace fs = std::filesystem;

uint64_t BlocksOf(const fs::path& path) {
  struct stat entry{};
  EXPECT_EQ(::lstat(path.c_str(), &entry), 0);
  return static_cast<uint64_t>(entry.st_blocks) * 512;
}

TEST(DiskUsage, CountsAsDuDoes) {
  const auto dir = TempDir::Make("/tmp", "usage");
  ASSERT_TRUE(dir.ok());
  const fs::path root = dir->path() / "fs";
  fs::create_directories(root / "a/b");
  std::ofstream(root / "a/file") << std::string(10'000, 'x');
  fs::create_hard_link(root / "a/file", root / "a/b/again");
  fs::create_symlink("/usr", root / "link");
  std::ofstream(dir->path() / "outside") << std::string(50'000, 'x');
  fs::create_directory_symlink("../..", root / "a/up");

  const auto usage = DiskUsage(root);
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_EQ(usage->inodes, 6U) << "three directories, a file with two names, two symlinks";
  EXPECT_EQ(usage->size_bytes, BlocksOf(root) + BlocksOf(root / "a") + BlocksOf(root / "a/b") +
                                   BlocksOf(root / "a/file") + BlocksOf(root / "link") +
                                   BlocksOf(root / "a/up"));
}

TEST(DiskUsage, CountsBlocksOfSparseFiles) {
  const auto dir = TempDir::Make("/tmp", "usage");
  ASSERT_TRUE(dir.ok());
  std::ofstream(dir->path() / "sparse").flush();
  fs::resize_file(dir->path() / "sparse", 1 << 30);
  const auto usage = DiskUsage(dir->path());
  ASSERT_TRUE(usage.ok());
  EXPECT_LT(usage->size_bytes, 100'000U);
}

TEST(DiskUsage, SaysWhatIsMissing) {
  const auto usage = DiskUsage("/nonexistent/directory");
  EXPECT_EQ(usage.status().code(), StatusCode::kNotFound);
  EXPECT_NE(MessageOf(usage.status()).find("/nonexistent/directory"), std::string_view::npos);
}

}  // namespace
}  // namespace starling::snapshotter
