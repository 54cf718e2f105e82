#include "dockerfile/context/local_context.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "base/unique_fd.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::context {
namespace {

using ::testing::HasSubstr;
using testing_support::ReadWhole;
using testing_support::Shell;

class LocalContextTest : public ::testing::Test {
 protected:
  void Run(const std::string& script) { Shell("cd " + directory_.path().native() + "; " + script); }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  TempDir directory_ = *TempDir::Make("/tmp", "context-");
};

TEST_F(LocalContextTest, TheDockerfilesOwnIgnoreFileGoesFirst) {
  Run("mkdir c; echo a >c/.dockerignore; echo b >other.dockerignore");
  const auto own = OpenDirectory(Path("c"), Path("other"));
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_TRUE(own->ignore_file->Ignores("b"));
  EXPECT_FALSE(own->ignore_file->Ignores("a"));
  const auto common = OpenDirectory(Path("c"), Path("c/Dockerfile"));
  EXPECT_TRUE(common->ignore_file->Ignores("a"));
  EXPECT_EQ(common->ignore_path, Path("c/.dockerignore"));
  Run("rm c/.dockerignore");
  EXPECT_EQ(OpenDirectory(Path("c"), "")->ignore_file, nullptr);
}

TEST_F(LocalContextTest, RefusesWhatIsNoDirectory) {
  Run("touch file");
  EXPECT_EQ(OpenDirectory(Path("none"), "").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(OpenDirectory(Path("file"), "").status().code(), StatusCode::kFailedPrecondition);
  Run("mkdir c; printf 'fine\\n[' >c/.dockerignore");
  const auto refused = OpenDirectory(Path("c"), "");
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(refused.status())), HasSubstr("c/.dockerignore"));
}

TEST_F(LocalContextTest, UnpacksATarFromAPipe) {
  Run("mkdir c; echo x >c/f; tar -C c -czf tar.gz .; mkfifo pipe; (cat tar.gz >pipe &)");
  const UniqueFd pipe(::open(Path("pipe").c_str(), O_RDONLY));
  ASSERT_TRUE(UnpackContext(pipe.get(), Path("out"), {}).ok());
  EXPECT_EQ(ReadWhole(Path("out/f")), "x\n");
}

}  // namespace
}  // namespace starling::dockerfile::context
