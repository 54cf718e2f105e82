#include "dockerfile/syntax/source_lines.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

std::vector<LogicalLine> All(std::string_view text) {
  SourceLines lines(text);
  std::vector<LogicalLine> all;
  while (auto line = lines.Next()) {
    all.push_back(*std::move(line));
  }
  EXPECT_FALSE(lines.problem()) << lines.problem()->message;
  return all;
}

TEST(SourceLines, JoinsContinuations) {
  const struct {
    std::string_view name, text, want;
    int first, last;
  } cases[] = {
      {"one line", "RUN a", "RUN a", 1, 1},
      {"two", "RUN a \\\n  b\n", "RUN a   b", 1, 2},
      {"blanks behind the escape", "RUN a \\ \t\nb", "RUN a b", 1, 2},
      {"two escapes are none", "RUN a \\\\\n", "RUN a \\\\", 1, 1},
      {"comment inside", "RUN a \\\n # no\nb", "RUN a b", 1, 3},
      {"empty line inside", "RUN a \\\n\n  \nb", "RUN a b", 1, 4},
      {"end of file", "RUN a \\", "RUN a ", 1, 1},
      {"CRLF", "RUN a \\\r\nb\r\n", "RUN a b", 1, 2},
      {"indented", "\n\t RUN a", "RUN a", 2, 2},
      {"byte order mark", "\xEF\xBB\xBFRUN a", "RUN a", 1, 1},
      {"other escape", "# escape=`\nRUN a `\nb\\", "RUN a b\\", 2, 3},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto all = All(c.text);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].text(), c.want);
    EXPECT_EQ(all[0].first_line(), c.first);
    EXPECT_EQ(all[0].last_line(), c.last);
  }
  EXPECT_TRUE(All("RUN a \\\n\nb")[0].has_empty_continuation());
  EXPECT_FALSE(All("RUN a \\\n# c\nb")[0].has_empty_continuation());
}

TEST(SourceLines, KnowsWhereEveryByteStands) {
  const auto line = All("  RUN abc \\\n  def")[0];
  ASSERT_EQ(line.text(), "RUN abc   def");
  EXPECT_EQ(line.Where(0, 3), (Range{{1, 3}, {1, 6}}));
  EXPECT_EQ(line.Where(4, 7), (Range{{1, 7}, {1, 10}}));
  EXPECT_EQ(line.Where(10, 13), (Range{{2, 3}, {2, 6}}));
  EXPECT_EQ(line.Where(4, 13), (Range{{1, 7}, {2, 6}}));
  EXPECT_EQ(line.Where(13, 13), (Range{{2, 6}, {2, 6}}));
}

TEST(SourceLines, ReadsDirectivesInFrontOnly) {
  SourceLines lines(
      "#syntax = docker/dockerfile:1\n# Check=skip=all\n# comment\n# escape=`\nRUN a");
  const auto line = lines.Next();
  ASSERT_EQ(lines.directives().size(), 2U);
  EXPECT_EQ(lines.directives()[0].name.value, "syntax");
  EXPECT_EQ(lines.directives()[0].value.value, "docker/dockerfile:1");
  EXPECT_EQ(lines.directives()[1].name.value, "check");
  EXPECT_EQ(lines.directives()[1].value.value, "skip=all");
  EXPECT_EQ(lines.directives()[1].value.range, (Range{{2, 9}, {2, 17}}));
  EXPECT_EQ(lines.escape(), '\\');
  ASSERT_EQ(line->comments().size(), 2U);
  EXPECT_EQ(line->comments()[1].value, "escape=`");
}

TEST(SourceLines, CommentsBelongToTheNextInstruction) {
  const auto all = All("\n# a\n#\n# b\n\n  # c\nRUN x\nRUN y");
  ASSERT_EQ(all[0].comments().size(), 2U);
  EXPECT_EQ(all[0].comments()[0].value, "b");
  EXPECT_EQ(all[0].comments()[1].range, (Range{{6, 5}, {6, 6}}));
  EXPECT_TRUE(all[1].comments().empty());
}

TEST(SourceLines, ReadsHeredocs) {
  SourceLines lines("RUN <<EOF\n\ta\r\n\tEOF\nRUN b");
  lines.Next();
  Heredoc heredoc{.name = "EOF", .cut_tabs = true};
  ASSERT_TRUE(lines.ReadHeredoc(heredoc));
  EXPECT_EQ(heredoc.content, "\ta\r\n");
  EXPECT_EQ(heredoc.range, (Range{{2, 1}, {3, 1}}));
  EXPECT_EQ(lines.Next()->text(), "RUN b");
}

TEST(SourceLines, RefusesWithAPlace) {
  const struct {
    std::string_view name;
    std::string text;
    Position where;
  } cases[] = {
      {"second directive", "# escape=`\n# escape=`\nRUN a", {2, 3}},
      {"bad escape", "# escape=x\nRUN a", {1, 10}},
      {"long line", "RUN a\n" + std::string(kMaxLineBytes + 1, 'x'), {2, 1}},
      {"long continuation", "RUN a\\\n" + std::string(kMaxLineBytes + 1, 'x'), {2, 1}},
      {"large file", std::string(kMaxDockerfileBytes + 1, '\n'), {0, 0}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    SourceLines lines(c.text);
    while (lines.Next()) {
    }
    ASSERT_TRUE(lines.problem());
    EXPECT_EQ(lines.problem()->range.begin, c.where);
  }
  SourceLines open("RUN <<EOF\na\n");
  open.Next();
  Heredoc heredoc{.name = "EOF"};
  EXPECT_FALSE(open.ReadHeredoc(heredoc));
  EXPECT_EQ(open.problem()->range.begin, (Position{1, 1}));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
