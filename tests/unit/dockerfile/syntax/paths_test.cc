#include "dockerfile/syntax/paths.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

TEST(CleanPath, GivesTheShortestPath) {
  const struct {
    std::string_view path, want;
  } cases[] = {{"", "."},
               {".", "."},
               {"/", "/"},
               {"a//b/./c/", "a/b/c"},
               {"a/../b", "b"},
               {"../a", "../a"},
               {"a/../../b", "../b"},
               {"/../a", "/a"},
               {"/a/..", "/"},
               {"./a/b/..", "a"},
               {"***", "***"}};
  for (const auto& c : cases) {
    EXPECT_EQ(CleanPath(c.path), c.want) << c.path;
  }
}

TEST(CheckGlob, AcceptsWhatGoMatches) {
  for (const std::string_view good :
       {"", "*.txt", "a?b", "[a-z]", "[^a-z]x", R"([\]])", "a]b", R"(\*)", "[é-ü]", R"([a\-b])"}) {
    EXPECT_TRUE(CheckGlob(good).ok()) << good;
  }
  for (const std::string_view bad :
       {"[", "[]", "[a", "[a-", "[-a]", "[a-]", "\\", "[\\", "[^]", "[^"}) {
    EXPECT_EQ(CheckGlob(bad).code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(MatchesGlob, AgreesWithGo) {
  struct Case {
    const char* pattern;
    const char* name;
    bool want;
  };
  const Case cases[] = {{"abc", "abc", true},
                        {"*", "abc", true},
                        {"*c", "abc", true},
                        {"a*", "a", true},
                        {"a*", "abc", true},
                        {"a*", "ab/c", false},
                        {"a*b?c*x", "abxbbxdbxebxczzx", true},
                        {"a*b?c*x", "abxbbxdbxebxczzy", false},
                        {"ab[c]", "abc", true},
                        {"ab[b-d]", "abc", true},
                        {"ab[e-g]", "abc", false},
                        {"ab[^c]", "abc", false},
                        {"ab[^e-g]", "abc", true},
                        {"a\\*b", "a*b", true},
                        {"a\\*b", "ab", false},
                        {"a?b", "a☺b", true},
                        {"a[^a]b", "a☺b", true},
                        {"a???b", "a☺b", false},
                        {"[a-ζ]*", "α", true},
                        {"*[a-ζ]", "A", false},
                        {"a?b", "a/b", false},
                        {"a*b", "a/b", false},
                        {"[\\]a]", "]", true},
                        {"[\\-]", "-", true},
                        {"*x", "xxx", true},
                        {"", "", true},
                        {"", "a", false},
                        {"*", "", true}};
  for (const Case& c : cases) {
    ASSERT_TRUE(CheckGlob(c.pattern).ok()) << c.pattern;
    EXPECT_EQ(MatchesGlob(c.pattern, c.name), c.want) << c.pattern << " " << c.name;
  }
}

TEST(MatchesGlob, TakesNoLongTimeForAHostilePattern) {
  std::string pattern;
  for (int i = 0; i < 50; ++i) {
    pattern += "*a";
  }
  EXPECT_FALSE(MatchesGlob(pattern, std::string(4000, 'a') + "b"));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
