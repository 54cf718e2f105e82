#include "dockerfile/syntax/git_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::HasSubstr;

TEST(IsWholeCommit, IsSha1OrSha256InLowerCase) {
  const std::string digits = "0123456789abcdef0123456789abcdef01234567";
  EXPECT_TRUE(IsWholeCommit(digits));
  EXPECT_TRUE(IsWholeCommit(digits + "0123456789abcdef01234567"));
  for (const std::string& other : {std::string(), digits.substr(1), digits + "0",
                                   digits.substr(1) + "A", digits.substr(1) + "g"}) {
    EXPECT_FALSE(IsWholeCommit(other)) << other;
  }
}

TEST(ParseGitReference, ReadsRemotesRefsAndDirectories) {
  const struct {
    std::string_view text, remote, ref, subdirectory, name;
  } cases[] = {
      {"https://host/a/b.git", "https://host/a/b.git", "", "", "b"},
      {"https://host/b.git#v1:sub/dir", "https://host/b.git", "v1", "sub/dir", "b"},
      {"git@host:a/b.git#main", "git@host:a/b.git", "main", "", "b"},
      {"ssh://git@host/a/b", "ssh://git@host/a/b", "", "", "b"},
      {"github.com/a/b", "github.com/a/b", "", "", "b"},
      {"https://host/b.git?tag=v1&subdir=x", "https://host/b.git", "refs/tags/v1", "x", "b"},
      {"https://host/b.git?branch=dev", "https://host/b.git", "refs/heads/dev", "", "b"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto git = ParseGitReference(c.text);
    ASSERT_TRUE(git.ok() && *git) << git.status();
    EXPECT_EQ((*git)->remote, c.remote);
    EXPECT_EQ((*git)->ref, c.ref);
    EXPECT_EQ((*git)->subdirectory, c.subdirectory);
    EXPECT_EQ((*git)->short_name, c.name);
  }
  const auto keys = ParseGitReference(
      "https://host/b.git?commit=abc&keep-git-dir&submodules=0&mtime=commit&fetch-by-commit=1");
  EXPECT_EQ((*keys)->checksum, "abc");
  EXPECT_EQ((*keys)->keep_git_directory, true);
  EXPECT_EQ((*keys)->submodules, false);
  EXPECT_EQ((*keys)->modified_time, "commit");
  EXPECT_TRUE((*keys)->fetch_by_commit);
}

TEST(ParseGitReference, TakesOtherSourcesForNone) {
  for (const std::string_view text :
       {"file", "./.git", "https://host/file.tar.gz", "a:b", "@host:x", "", "dir/user@host:x"}) {
    const auto git = ParseGitReference(text);
    ASSERT_TRUE(git.ok()) << text;
    EXPECT_FALSE(git->has_value()) << text;
  }
}

TEST(ParseGitReference, RefusesContradictions) {
  for (const std::string_view text :
       {"https://h/b.git?ref=a#b", "https://h/b.git?tag=a&branch=b", "https://h/b.git?mtime=x",
        "https://h/b.git?submodules=x", "https://h/b.git?subdir=a#:b"}) {
    EXPECT_FALSE(ParseGitReference(text).ok()) << text;
  }
  EXPECT_THAT(ParseGitReference("https://h/b.git?tagg=x").status().ToString(),
              HasSubstr("did you mean tag?"));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
