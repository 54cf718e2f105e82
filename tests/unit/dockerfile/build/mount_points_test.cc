#include "dockerfile/build/mount_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing_support::Shell;

class MountPointsTest : public ::testing::Test {
 protected:
  void Run(const std::string& script) { Shell("cd " + root().native() + "; " + script); }
  std::filesystem::path root() const { return directory_.path() / "root"; }
  bool Exists(const char* path) const { return std::filesystem::exists(root() / path); }
  void SetUp() override { std::filesystem::create_directory(root()); }

  TempDir directory_ = *TempDir::Make("/tmp", "mount-points-");
};

TEST_F(MountPointsTest, NamesWhatIsMissingWithItsParents) {
  Run("mkdir -p etc run; touch etc/hosts; ln -s /run link");
  const auto points = MountPoints::LookAt(
      root(), {"/etc/hosts", "/etc/resolv.conf", "/a/b", "/link/secrets/x", "/run"});
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_THAT(points->missing(),
              ElementsAre("etc/resolv.conf", "a", "a/b", "run/secrets", "run/secrets/x"));
}

TEST_F(MountPointsTest, RemovesThemAndGivesTimesBack) {
  Run("mkdir etc; touch -d @1000 etc");
  const auto points = MountPoints::LookAt(root(), {"/etc/resolv.conf", "/a/b"});
  ASSERT_TRUE(points.ok()) << points.status();
  Run("touch etc/resolv.conf; mkdir -p a/b");
  ASSERT_TRUE(points->RemoveFrom(root()).ok());
  EXPECT_FALSE(Exists("etc/resolv.conf"));
  EXPECT_FALSE(Exists("a"));
  struct stat attributes{};
  ASSERT_EQ(::stat((root() / "etc").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 1000);
}

TEST_F(MountPointsTest, KeepsWhatAStepHasFilled) {
  const auto points = MountPoints::LookAt(root(), {"/a/b", "/file"});
  Run("mkdir -p a/b; echo x >a/kept; echo y >file");
  ASSERT_TRUE(points->RemoveFrom(root()).ok());
  EXPECT_FALSE(Exists("a/b"));
  EXPECT_TRUE(Exists("a/kept"));
  EXPECT_TRUE(Exists("file"));
}

TEST_F(MountPointsTest, FollowsNoLinkThatAStepHasPutThere) {
  std::filesystem::create_directories(directory_.path() / "outside" / "b");
  const auto points = MountPoints::LookAt(root(), {"/a/b"});
  Run("ln -s ../outside a");
  ASSERT_TRUE(points->RemoveFrom(root()).ok());
  EXPECT_TRUE(std::filesystem::exists(directory_.path() / "outside" / "b"));
}

TEST_F(MountPointsTest, LinksLeadNowhereOutOfTheTree) {
  std::filesystem::create_directories(directory_.path() / "outside");
  Run("ln -s ../outside up; ln -s " + (directory_.path() / "outside").native() + " absolute");
  const auto points = MountPoints::LookAt(root(), {"/up/x", "/absolute/x"});
  ASSERT_TRUE(points.ok()) << points.status();
  for (const std::string& path : points->missing()) {
    EXPECT_EQ(path.find(".."), std::string::npos) << path;
  }
}

TEST_F(MountPointsTest, RemovesDirectoriesThatWereCopiedForNothing) {
  const std::filesystem::path lower = directory_.path() / "lower";
  Shell(
      "cd " + directory_.path().native() +
      "; mkdir -p lower/etc/sub lower/opt; touch -d @1000 lower/etc/sub; touch -d @1000 lower/etc;"
      " touch -d @1000 lower/opt");
  const std::filesystem::path tree = directory_.path() / "tree";
  Shell("cp -a " + lower.native() + " " + tree.native());
  const auto points = MountPoints::LookAt(tree, {"/etc/sub/x", "/opt/y"});
  // The upper directory has copies; one was changed by the step.
  Run("mkdir -p etc/sub opt; touch -d @1000 etc/sub; touch -d @1000 etc; touch -d @2000 opt");
  ASSERT_TRUE(points->RemoveCopies(root(), {lower}).ok());
  EXPECT_FALSE(Exists("etc"));
  EXPECT_TRUE(Exists("opt"));
}

TEST_F(MountPointsTest, NothingIsMissingWhereAllIsThere) {
  Run("mkdir a; touch file");
  EXPECT_THAT(MountPoints::LookAt(root(), {"/a", "/file", "/"})->missing(), IsEmpty());
}

}  // namespace
}  // namespace starling::dockerfile::build
