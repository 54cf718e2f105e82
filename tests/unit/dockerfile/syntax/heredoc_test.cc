#include "dockerfile/syntax/heredoc.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

TEST(ParseHeredoc, ReadsTheWordThatBeginsOne) {
  const struct {
    std::string_view word;
    bool found;
    std::string_view name;
    int file_descriptor;
    bool expand, cut_tabs;
  } cases[] = {
      {"<<EOF", true, "EOF", 0, true, false},      {"<<-EOF", true, "EOF", 0, true, true},
      {"3<<EOF", true, "EOF", 3, true, false},     {"<<'EOF'", true, "EOF", 0, false, false},
      {"<<\"E\"OF", true, "EOF", 0, false, false}, {R"(<<E\OF)", true, "EOF", 0, false, false},
      {"<<$X", true, "$X", 0, true, false},        {"<<", false, "", 0, true, false},
      {"<<<word", false, "", 0, true, false},      {"<EOF", false, "", 0, true, false},
      {"a<<EOF", false, "", 0, true, false},       {"99999999999<<EOF", false, "", 0, true, false},
      {"<<'EOF", false, "", 0, true, false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.word);
    const auto got = ParseHeredoc(c.word);
    ASSERT_EQ(got.has_value(), c.found);
    if (got) {
      EXPECT_EQ(got->name, c.name);
      EXPECT_EQ(got->file_descriptor, c.file_descriptor);
      EXPECT_EQ(got->expand, c.expand);
      EXPECT_EQ(got->cut_tabs, c.cut_tabs);
    }
  }
}

TEST(FindHeredocs, LooksOutsideOfQuotes) {
  const auto found = FindHeredocs("RUN <<A cat && echo \"<<NO\" 5<<-B");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "A");
  EXPECT_EQ(found[1].name, "B");
  EXPECT_TRUE(FindHeredocs("RUN echo it's <<EOF").empty()) << "the shell's affair";
}

TEST(Heredoc, BodyCutsTabsAtLineStarts) {
  Heredoc heredoc{.name = "EOF", .content = "\t\ta\tb\n\n\tc\n"};
  EXPECT_EQ(heredoc.Body(), heredoc.content);
  heredoc.cut_tabs = true;
  EXPECT_EQ(heredoc.Body(), "a\tb\n\nc\n");
}

}  // namespace
}  // namespace starling::dockerfile::syntax
