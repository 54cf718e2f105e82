#include "dockerfile/context/git_checkout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::context {
namespace {

using ::testing::HasSubstr;
using testing_support::ReadWhole;
using testing_support::Shell;

class GitCheckoutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Run("git init -q -b main repo.git; cd repo.git; git config user.name n; git config user.email "
        "e; "
        "mkdir sub; echo one >file; echo s >sub/s; ln -s /etc out; git add .; "
        "GIT_COMMITTER_DATE='@1000 +0000' git commit -qm one; git tag v1; git rev-parse HEAD "
        ">../first; echo two >file; GIT_COMMITTER_DATE='@2000 +0000' git commit -qam two; "
        "git branch feature v1");
  }
  void Run(const std::string& script) { Shell("cd " + directory_.path().native() + "; " + script); }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  StatusOr<GitCheckout> Get(syntax::GitReference reference, bool keep = false) {
    reference.remote = "file://" + Path("repo.git").native();
    return CheckOut(reference, keep, Path(fmt::format("out{}", ++count_)), {});
  }
  TempDir directory_ = *TempDir::Make("/tmp", "git-");
  int count_ = 0;
};

TEST_F(GitCheckoutTest, ChecksOutWhatIsNamed) {
  std::string first = ReadWhole(Path("first"));
  first.pop_back();
  const std::pair<std::string, const char*> cases[] = {{"", "two\n"},
                                                       {"main", "two\n"},
                                                       {"feature", "one\n"},
                                                       {"v1", "one\n"},
                                                       {"refs/heads/feature", "one\n"},
                                                       {first, "one\n"}};
  for (const auto& [ref, content] : cases) {
    const auto checkout = Get({.ref = ref});
    ASSERT_TRUE(checkout.ok()) << ref << checkout.status();
    EXPECT_EQ(ReadWhole(checkout->directory / "file"), content) << ref;
    EXPECT_FALSE(std::filesystem::exists(checkout->directory / ".git")) << ref;
    EXPECT_EQ(checkout->commit.size(), 40u);
    struct stat attributes{};
    ASSERT_EQ(::stat((checkout->directory / "file").c_str(), &attributes), 0);
    EXPECT_EQ(attributes.st_mtim.tv_sec, std::string_view(content) == "one\n" ? 1000 : 2000);
  }
}

TEST_F(GitCheckoutTest, KeepsTheRepositoryWhenAsked) {
  const auto checkout = Get({}, /*keep=*/true);
  ASSERT_TRUE(checkout.ok()) << checkout.status();
  EXPECT_TRUE(std::filesystem::exists(checkout->directory / ".git" / "HEAD"));
}

TEST_F(GitCheckoutTest, TakesADirectoryOfIt) {
  EXPECT_EQ(ReadWhole(Get({.subdirectory = "sub"})->directory / "s"), "s\n");
  EXPECT_EQ(Get({.subdirectory = "none"}).status().code(), StatusCode::kNotFound);
  // Not through links.
  EXPECT_FALSE(Get({.subdirectory = "out"}).ok());
  EXPECT_FALSE(Get({.subdirectory = "../repo.git"}).ok());
}

TEST_F(GitCheckoutTest, ChecksTheCommit) {
  const std::string first = ReadWhole(Path("first"));
  EXPECT_TRUE(Get({.ref = "v1", .checksum = first.substr(0, 12)}).ok());
  EXPECT_EQ(Get({.ref = "main", .checksum = first.substr(0, 12)}).status().code(),
            StatusCode::kDataLoss);
}

TEST_F(GitCheckoutTest, SaysWhatIsNotThere) {
  const auto refused = Get({.ref = "no-such-branch"});
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(MessageOf(refused.status())), HasSubstr("no-such-branch"));
  EXPECT_FALSE(Get({.ref = "--upload-pack=touch " + Path("evil").native()}).ok());
  EXPECT_FALSE(std::filesystem::exists(Path("evil")));
}

TEST_F(GitCheckoutTest, RunsNoHooksOfTheRepository) {
  Run("mkdir -p template/hooks; printf '#!/bin/sh\\ntouch " + Path("hooked").native() +
      "\\n' >template/hooks/post-checkout; chmod +x template/hooks/post-checkout");
  ::setenv("GIT_TEMPLATE_DIR", Path("template").c_str(), 1);
  ASSERT_TRUE(Get({}).ok());
  ::unsetenv("GIT_TEMPLATE_DIR");
  EXPECT_FALSE(std::filesystem::exists(Path("hooked")));
}

}  // namespace
}  // namespace starling::dockerfile::context
