#include "dockerfile/build/scratch_directory.h"

#include <gtest/gtest.h>

#include <fstream>

namespace starling::dockerfile::build {
namespace {

TEST(ScratchDirectory, GoesWithAllThatIsInIt) {
  const TempDir parent = *TempDir::Make("/tmp", "scratch-");
  std::filesystem::path path;
  {
    const auto scratch = ScratchDirectory::Make(parent.path() / "made");
    ASSERT_TRUE(scratch.ok()) << scratch.status();
    path = scratch->path();
    std::ofstream(path / "file") << "x";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ScratchDirectory, RemovesWhatKilledBuildsHaveLeftAndNothingElse) {
  const TempDir parent = *TempDir::Make("/tmp", "scratch-");
  std::filesystem::create_directories(parent.path() / "build-left" / "behind");
  std::filesystem::create_directory(parent.path() / "other");
  const auto used = ScratchDirectory::Make(parent.path());
  const auto mine = ScratchDirectory::Make(parent.path());
  ASSERT_TRUE(used.ok() && mine.ok());
  EXPECT_FALSE(std::filesystem::exists(parent.path() / "build-left"));
  EXPECT_TRUE(std::filesystem::exists(parent.path() / "other"));
  EXPECT_TRUE(std::filesystem::exists(used->path()));
  EXPECT_NE(used->path(), mine->path());
}

}  // namespace
}  // namespace starling::dockerfile::build
