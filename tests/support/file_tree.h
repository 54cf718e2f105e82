/// Trees on disk: compared in all that a layer promises to keep.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/read_whole.h"

namespace starling::testing_support {

/// Runs a shell script that must succeed.
inline void Shell(const std::string& script) {
  ASSERT_EQ(std::system(("set -e; " + script).c_str()), 0) << script;
}

inline std::map<std::string, std::string> XattrsOf(const std::filesystem::path& path) {
  std::string list(65536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), list.data(), list.size());
  std::map<std::string, std::string> xattrs;
  for (ssize_t at = 0; at < size;) {
    const std::string name = list.c_str() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    std::string value(65536, '\0');
    const ssize_t got = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    value.resize(got < 0 ? 0 : static_cast<size_t>(got));
    xattrs[name] = value;
  }
  return xattrs;
}

/// Names in a directory, sorted, without the dots.
inline std::vector<std::string> NamesIn(const std::filesystem::path& path) {
  std::vector<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  EXPECT_NE(directory, nullptr) << path << ": " << strerror(errno);
  while (directory != nullptr) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) {
      EXPECT_EQ(errno, 0) << path;
      break;
    }
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      names.emplace_back(entry->d_name);
    }
  }
  if (directory != nullptr) {
    ::closedir(directory);
  }
  std::ranges::sort(names);
  return names;
}

/// Expects `got` to equal `want`: names, types, permissions, owners, links, times, devices, xattrs
/// and content. Directory sizes and link counts are the file system's own affair.
class TreeComparison {
 public:
  /// Of what is in two directories, not of the directories themselves: unpacking ignores what a
  /// tar says about its root.
  void CompareBelow(const std::filesystem::path& want, const std::filesystem::path& got) {
    const std::vector<std::string> names = NamesIn(want);
    EXPECT_EQ(names, NamesIn(got));
    for (const std::string& name : names) {
      Compare(want / name, got / name);
    }
  }
  void Compare(const std::filesystem::path& want, const std::filesystem::path& got) {
    SCOPED_TRACE(got.native());
    struct stat a{};
    struct stat b{};
    ASSERT_EQ(::lstat(want.c_str(), &a), 0) << strerror(errno);
    ASSERT_EQ(::lstat(got.c_str(), &b), 0) << strerror(errno);
    ++compared_;
    EXPECT_EQ(a.st_mode, b.st_mode);
    EXPECT_EQ(a.st_uid, b.st_uid);
    EXPECT_EQ(a.st_gid, b.st_gid);
    EXPECT_EQ(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
    EXPECT_EQ(a.st_rdev, b.st_rdev);
    EXPECT_EQ(XattrsOf(want), XattrsOf(got));
    if (S_ISDIR(a.st_mode)) {
      CompareBelow(want, got);
      return;
    }
    EXPECT_EQ(a.st_nlink, b.st_nlink);
    EXPECT_EQ(a.st_size, b.st_size);
    // Hardlinks: the same files must be one on both sides.
    EXPECT_EQ(peers_.try_emplace(a.st_ino, b.st_ino).first->second, b.st_ino);
    if (S_ISLNK(a.st_mode)) {
      EXPECT_EQ(std::filesystem::read_symlink(want), std::filesystem::read_symlink(got));
    } else if (S_ISREG(a.st_mode)) {
      EXPECT_TRUE(ReadWhole(want) == ReadWhole(got)) << "content differs";
    }
  }
  size_t compared() const { return compared_; }

 private:
  std::map<ino_t, ino_t> peers_;
  size_t compared_ = 0;
};

}  // namespace starling::testing_support
