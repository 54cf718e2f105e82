#include "dockerfile/syntax/ignore_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::HasSubstr;

TEST(IgnoreFile, DecidesByTheLastMatch) {
  const struct {
    std::string_view patterns, path;
    bool ignored;
  } cases[] = {
      {"*.log", "a.log", true},
      {"*.log", "dir/a.log", false},
      {"**/*.log", "dir/sub/a.log", true},
      {"**/*.log", "a.log", true},
      {"dir", "dir/sub/file", true},
      {"dir/", "dir/file", true},
      {"/dir", "dir/file", true},
      {"./dir//sub/../x", "dir/x", true},
      {"*\n!keep", "keep", false},
      {"*\n!keep", "other", true},
      {"dir\n!dir/keep\n", "dir/keep", false},
      {"dir\n!dir/keep\ndir/k*", "dir/keep", true},
      {"!keep", "keep", false},
      {"a**", "abc/def", true},
      {"**c", "x/abc", true},
      {"**a**", "x/ab/y", true},
      {"**a**", "x/bab/y", false},
      {"a/**/b", "a/b", true},
      {"a/**/b", "a/x/y/b", true},
      {"a/**/b", "a/xb", false},
      {"[a-c].txt", "b.txt", true},
      {"[^a-c].txt", "b.txt", false},
      {"[^a-c].txt", "z.txt", true},
      {"x^y", "x^y", true},
      {"a?c*", "a^cd", true},
      {R"(\#x)", "#x", true},
      {"# comment", "# comment", false},
      {"  # no comment", "# no comment", true},
      {"a.b", "axb", false},
      {"\xEF\xBB\xBF*.o", "x.o", true},
      {"?.x", "\xff.x", true},
      {"?.x", "é.x", true},
      {"\xff/?", "\xff/\xff/a", true},
      {"a\r\nb\r\n", "b", true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.patterns) + " | " + std::string(c.path));
    const auto file = IgnoreFile::Parse(c.patterns);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->Ignores(c.path), c.ignored);
  }
}

TEST(IgnoreFile, ExplainsWhichPatternDecided) {
  const auto file = IgnoreFile::Parse("# header\nbuild\n\n!build/keep.txt\n");
  const auto ignored = file->Explain("build/sub/x.o");
  EXPECT_TRUE(ignored.ignored);
  EXPECT_EQ(ignored.pattern->text, "build");
  EXPECT_EQ(ignored.pattern->line, 2);
  EXPECT_EQ(ignored.matched_path, "build");
  const auto kept = file->Explain("build/keep.txt");
  EXPECT_FALSE(kept.ignored);
  EXPECT_EQ(kept.pattern->text, "!build/keep.txt");
  EXPECT_EQ(kept.pattern->line, 4);
  EXPECT_EQ(file->Explain("src/main.cc").pattern, nullptr);
}

TEST(IgnoreFile, KnowsWhenNothingIsLeft) {
  EXPECT_TRUE(IgnoreFile::Parse("*")->IgnoresEverything());
  EXPECT_TRUE(IgnoreFile::Parse("!a\n**")->IgnoresEverything());
  EXPECT_FALSE(IgnoreFile::Parse("*\n!a")->IgnoresEverything());
  EXPECT_FALSE(IgnoreFile::Parse("*\n/ !a")->IgnoresEverything()) << "as Docker's matcher has it";
  EXPECT_TRUE(IgnoreFile::Parse("**/*")->IgnoresEverything());
  EXPECT_FALSE(IgnoreFile::Parse(".*")->IgnoresEverything());
  EXPECT_FALSE(IgnoreFile::Parse("*/*")->IgnoresEverything());
  EXPECT_FALSE(IgnoreFile::Parse("/")->IgnoresEverything());
  EXPECT_FALSE(IgnoreFile::Parse("")->IgnoresEverything());
}

TEST(IgnoreFile, RefusesWhatIsNoPattern) {
  EXPECT_THAT(IgnoreFile::Parse("a\n[x").status().ToString(), HasSubstr("line 2: pattern '[x'"));
  EXPECT_THAT(IgnoreFile::Parse("!").status().ToString(), HasSubstr("line 1"));
  EXPECT_EQ(IgnoreFile::Parse(std::string(kMaxIgnoreFileBytes + 1, '\n')).status().code(),
            StatusCode::kResourceExhausted);
  std::string many;
  for (size_t i = 0; i <= kMaxIgnorePatterns; ++i) {
    many += "a\n";
  }
  EXPECT_EQ(IgnoreFile::Parse(many).status().code(), StatusCode::kResourceExhausted);
}

TEST(IgnoreFile, KnowsWhetherItIncludesAnythingAgain) {
  EXPECT_TRUE(IgnoreFile::Parse("*\n!a\n")->HasExceptions());
  EXPECT_FALSE(IgnoreFile::Parse("*\n# !a\n")->HasExceptions());
}

}  // namespace
}  // namespace starling::dockerfile::syntax
