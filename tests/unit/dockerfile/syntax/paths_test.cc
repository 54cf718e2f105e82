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

}  // namespace
}  // namespace starling::dockerfile::syntax
