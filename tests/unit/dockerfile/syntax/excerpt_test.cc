#include "dockerfile/syntax/excerpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Excerpt, MarksWhatIsMeant) {
  const std::string_view source = "FROM a\r\nCOPY --form=x \\\n  b c";
  EXPECT_EQ(Excerpt(source, {{2, 6}, {2, 14}}),
            "    2 | COPY --form=x \\\n"
            "      |      ^~~~~~~~\n");
  EXPECT_EQ(Excerpt(source, {{1, 6}, {1, 7}}),
            "    1 | FROM a\n"
            "      |      ^\n");
  EXPECT_EQ(Excerpt(source, {{2, 6}, {3, 4}}),
            "    2 | COPY --form=x \\\n"
            "      |      ^~~~~~~~~~\n");
  EXPECT_EQ(Excerpt(source, {{1, 7}, {1, 7}}),
            "    1 | FROM a\n"
            "      |       ^\n");
  EXPECT_EQ(Excerpt(source, {}), "");
  EXPECT_EQ(Excerpt(source, {{9, 1}, {9, 1}}), "    9 | \n      | ^\n");
}

TEST(Excerpt, IsFitForATerminal) {
  EXPECT_EQ(Excerpt("RUN \x1b[2J\té\xff", {{1, 10}, {1, 12}}),
            "    1 | RUN ?[2J é\xEF\xBF\xBD\n"
            "      |          ^\n");
  const std::string wide = Excerpt(std::string(10000, 'x'), {{1, 9000}, {1, 9001}});
  EXPECT_LT(wide.size(), 500U);
  EXPECT_THAT(wide, HasSubstr("..."));
  EXPECT_THAT(wide, Not(HasSubstr("^")));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
