#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::files {

/// A tree to take from, `from`, one to write to, `to`, and what neither may lead to, `outside`.
class TreeFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U) << "needs root";
    Run("mkdir from to outside; echo untouched >outside/file");
  }
  /// A script in the directory that holds all three.
  void Run(const std::string& script) const {
    testing_support::Shell("cd " + directory_.path().native() + "; umask 022; " + script);
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  std::filesystem::path from() const { return Path("from"); }
  std::filesystem::path to() const { return Path("to"); }
  std::string Content(const std::string& path) const {
    return testing_support::ReadWhole(Path(path));
  }
  bool Exists(const std::string& path) const {
    struct stat attributes{};
    return ::lstat(Path(path).c_str(), &attributes) == 0;
  }
  /// "MODE UID:GID" in octal and decimal; "none" when it is not there.
  std::string Ownership(const std::string& path) const {
    struct stat attributes{};
    if (::lstat(Path(path).c_str(), &attributes) != 0) {
      return "none";
    }
    char text[64];
    std::snprintf(text, sizeof(text), "%o %u:%u", attributes.st_mode & 07777U, attributes.st_uid,
                  attributes.st_gid);
    return text;
  }
  /// That nothing has happened there.
  void ExpectOutsideUntouched() const {
    EXPECT_EQ(Content("outside/file"), "untouched\n");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(Path("outside")),
                            std::filesystem::directory_iterator()),
              1);
  }

  TempDir directory_ = *TempDir::Make("/tmp", "files-");
};

}  // namespace starling::dockerfile::files
