#include "setup/line_edit.h"

#include <gtest/gtest.h>

namespace starling::setup {
namespace {

struct Case {
  const char* name;
  std::string text;
  std::vector<LineEdit> edits;
  std::string wanted;
};

TEST(Edited, ChangesLinesAndNothingElse) {
  const Case cases[] = {
      {"nothing", "a\nb", {}, "a\nb"},
      {"at the end", "a\nb\n", {{3, 0, {"c", "d"}}}, "a\nb\nc\nd\n"},
      {"behind a last line without an end", "a\nb", {{3, 0, {"c"}}}, "a\nb\nc\n"},
      {"in an empty file", "", {{1, 0, {"a"}}}, "a\n"},
      {"in front", "a\n", {{1, 0, {"z"}}}, "z\na\n"},
      {"instead of one", "a\nb\nc\n", {{2, 1, {"x", "y"}}}, "a\nx\ny\nc\n"},
      {"instead of the last, which has no end", "a\nb", {{2, 1, {"x"}}}, "a\nx\n"},
      {"away", "a\nb\nc\n", {{1, 2, {}}}, "c\n"},
      {"two at one line", "a\nb\n", {{2, 0, {"1"}}, {2, 0, {"2"}}}, "a\n1\n2\nb\n"},
      {"in front of what goes", "a\nb\n", {{2, 0, {"1"}}, {2, 1, {"B"}}}, "a\n1\nB\n"},
      {"with carriage returns", "a\r\nb\r\n", {{2, 1, {"x"}}}, "a\r\nx\r\n"},
      {"far behind the end", "a\n", {{9, 0, {"x"}}}, "a\nx\n"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Edited(c.text, c.edits), c.wanted) << c.name;
  }
}

TEST(LinesOf, AnEndWithoutALineIsNone) {
  EXPECT_EQ(LinesOf("").size(), 0U);
  EXPECT_EQ(LinesOf("a\n").size(), 1U);
  EXPECT_EQ(LinesOf("a\n\nb").size(), 3U);
  EXPECT_EQ(LinesOf("a\r\n").front(), "a");
}

}  // namespace
}  // namespace starling::setup
