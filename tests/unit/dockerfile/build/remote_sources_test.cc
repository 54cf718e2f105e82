#include "dockerfile/build/remote_sources.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::build {
namespace {

using testing_support::ReadWhole;

TEST(IsRemote, IsWhatMustBeBroughtFirst) {
  EXPECT_TRUE(IsRemote(plan::HttpSource{}));
  EXPECT_TRUE(IsRemote(plan::GitSource{}));
  EXPECT_TRUE(IsRemote(plan::InlineSource{}));
  EXPECT_FALSE(IsRemote(plan::ContextSource{}));
  EXPECT_FALSE(IsRemote(plan::ImageSource{}));
  EXPECT_FALSE(IsRemote(plan::Run{}));
}

TEST(FetchRemote, WritesTheFilesOfADockerfile) {
  const TempDir directory = *TempDir::Make("/tmp", "remote-");
  const plan::InlineSource source{.files = {{"EOF", "content\n"}, {"other", ""}}};
  const auto fetched = FetchRemote(source, directory.path() / "made", {});
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_FALSE(fetched->material) << "it is in the Dockerfile";
  const std::filesystem::path& path = fetched->directory;
  EXPECT_EQ(ReadWhole(path / "EOF"), "content\n");
  EXPECT_EQ(ReadWhole(path / "other"), "");
  struct stat attributes{};
  ASSERT_EQ(::stat((path / "EOF").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777U, 0644u);
}

TEST(FetchRemote, RefusesAFileThatIsNotRightHere) {
  const TempDir directory = *TempDir::Make("/tmp", "remote-");
  for (const char* name : {"../out", "a/b", "..", ".", ""}) {
    const plan::InlineSource source{.files = {{name, "content"}}};
    EXPECT_EQ(FetchRemote(source, directory.path() / "made", {}).status().code(),
              StatusCode::kInvalidArgument)
        << name;
  }
}

}  // namespace
}  // namespace starling::dockerfile::build
