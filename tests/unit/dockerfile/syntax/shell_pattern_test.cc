#include "dockerfile/syntax/shell_pattern.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

TEST(CutPrefixAndSuffix, TakeTheShortestOrTheLongestMatch) {
  const struct {
    std::string_view value, pattern, short_prefix, long_prefix, short_suffix, long_suffix;
  } cases[] = {
      {"a.b.c", "*.", "b.c", "c", "a.b.c", "a.b.c"},
      {"a.b.c", ".*", "a.b.c", "a.b.c", "a.b", "a"},
      {"xyxy", "?", "yxy", "yxy", "xyx", "xyx"},
      {"v*v", R"(v\*)", "v", "v", "v*v", "v*v"},
      {"한국어", "?", "국어", "국어", "한국", "한국"},
      {"abc", "", "abc", "abc", "abc", "abc"},
      {"[a]", "[a]", "", "", "", ""},
      {"\xff.\xfe", ".?", "\xff.\xfe", "\xff.\xfe", "\xff", "\xff"},
      {"a\nb", "*b", "a\nb", "a\nb", "a\n", "a\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.value) + " " + std::string(c.pattern));
    EXPECT_EQ(*CutPrefix(c.value, c.pattern, Match::kShortest), c.short_prefix);
    EXPECT_EQ(*CutPrefix(c.value, c.pattern, Match::kLongest), c.long_prefix);
    EXPECT_EQ(*CutSuffix(c.value, c.pattern, Match::kShortest), c.short_suffix);
    EXPECT_EQ(*CutSuffix(c.value, c.pattern, Match::kLongest), c.long_suffix);
  }
}

TEST(ReplacePattern, TakesTheReplacementLiterally) {
  const struct {
    std::string_view value, pattern, replacement, first, all;
  } cases[] = {
      {"a.b.c", ".", "$1\\0", "a$1\\0b.c", "a$1\\0b$1\\0c"},
      {"aXbX", "X", "", "abX", "ab"},
      {"ab", "", "-", "-ab", "-a-b-"},
      {"aab", "a*", "-", "-", "-"},
      {"/a/b/c", "/?/", "/", "/b/c", "/b/c"},
      {"none", "x", "y", "none", "none"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.value) + " " + std::string(c.pattern));
    EXPECT_EQ(*ReplacePattern(c.value, c.pattern, c.replacement, Replace::kFirst, 100), c.first);
    EXPECT_EQ(*ReplacePattern(c.value, c.pattern, c.replacement, Replace::kAll, 100), c.all);
  }
}

TEST(ShellPattern, RefusesWhatIsNoneAndWhatGrows) {
  EXPECT_EQ(CutPrefix("a", R"(\a)", Match::kShortest).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(CutPrefix("a", "\\", Match::kShortest).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReplacePattern(std::string(100, 'a'), "a", "bb", Replace::kAll, 150).status().code(),
            StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::syntax
