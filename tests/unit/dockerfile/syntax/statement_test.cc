#include "dockerfile/syntax/statement.h"

#include <gtest/gtest.h>

#include "tests/support/statement_dump.h"

namespace starling::dockerfile::syntax {
namespace {

TEST(ParseStatements, TakesInstructionsApart) {
  const struct {
    std::string_view text, want;
  } cases[] = {
      {"FROM  a\tAS b", R"((from "a" "AS" "b"))"},
      {"COPY --from=x --link a b", R"((copy ["--from=x" "--link"] "a" "b"))"},
      {R"(COPY --chown="a b" -- --x y)", R"((copy ["--chown=a b"] "--x" "y"))"},
      {R"(COPY ["a b", "c"])", R"((copy "a b" "c"))"},
      {R"(RUN ["a", "b"])", R"((run "a" "b"))"},
      {R"(RUN ["a"] b)", R"((run "[\"a\"] b"))"},
      {"RUN a  b", R"((run "a  b"))"},
      {"CMD", "(cmd)"},
      {"CMD []", "(cmd)"},
      {R"(ENV A=b C="d e" F=g\ h)", R"((env "A" "b" "=" "C" "\"d e\"" "=" "F" "g\\ h" "="))"},
      {"ENV A  b  c", R"((env "A" "b  c" ""))"},
      {"LABEL a=", R"((label "a" "" "="))"},
      {"ARG A B=c", R"((arg "A" "B=c"))"},
      {"ARG A='b c' D=\\", R"((arg "A='b c'" "D="))"},
      {"HEALTHCHECK --interval=1s CMD a b", R"((healthcheck ["--interval=1s"] "CMD" "a b"))"},
      {"ONBUILD RUN a", R"((onbuild (run "a")))"},
      {"ONBUILD", "(onbuild)"},
      {"WORKDIR /a b ", R"((workdir "/a b"))"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const Statements parsed = ParseStatements(c.text);
    ASSERT_FALSE(parsed.problem) << parsed.problem->message;
    EXPECT_EQ(testing::Dump(parsed), c.want);
  }
}

TEST(ParseStatements, KnowsWhereThingsStand) {
  const Statements parsed = ParseStatements("FROM a\nCOPY --link \\\n  x <<E /y\nbody\nE\n");
  const Statement& copy = parsed.statements[1];
  EXPECT_EQ(copy.name.range, (Range{{2, 1}, {2, 5}}));
  EXPECT_EQ(copy.flags[0].range, (Range{{2, 6}, {2, 12}}));
  EXPECT_EQ(copy.arguments[0].range, (Range{{3, 3}, {3, 4}}));
  EXPECT_EQ(copy.arguments[2].range, (Range{{3, 9}, {3, 11}}));
  EXPECT_EQ(copy.heredocs[0].content, "body\n");
  EXPECT_EQ(copy.range, (Range{{2, 1}, {6, 1}}));
}

TEST(ParseStatements, HeredocsBelongToRunCopyAndAdd) {
  EXPECT_EQ(ParseStatements("RUN <<A <<B\n1\nA\n2\nB").statements[0].heredocs.size(), 2U);
  EXPECT_EQ(ParseStatements("ONBUILD COPY <<A /x\n1\nA").statements[0].trigger->heredocs.size(),
            1U);
  EXPECT_TRUE(ParseStatements("RUN [\"<<A\"]").statements[0].heredocs.empty());
  EXPECT_EQ(ParseStatements("CMD <<A\nRUN x").statements.size(), 2U);
}

TEST(ParseStatements, RefusesWithAPlace) {
  const struct {
    std::string_view text;
    Position where;
  } cases[] = {
      {"", {0, 1}},
      {"# only\n", {1, 1}},
      {"FROM a\nENV A", {2, 5}},
      {"FROM a\nENV A=1 B", {2, 9}},
      {"FROM a\nONBUILD ENV A", {2, 13}},
      {"FROM a\n CMD [1]", {2, 6}},
      {"FROM a\nRUN <<E\n", {2, 1}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const Statements parsed = ParseStatements(c.text);
    ASSERT_TRUE(parsed.problem);
    EXPECT_EQ(parsed.problem->range.begin, c.where);
  }
  EXPECT_EQ(ParseStatements("FROM a\nENV A").statements.size(), 1U) << "what was read stays";
}

TEST(ParseStatements, TriggersInTriggersAreBounded) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) {
    deep += "ONBUILD ";
  }
  EXPECT_EQ(ParseStatements(deep + "RUN x").statements.size(), 1U);
}

}  // namespace
}  // namespace starling::dockerfile::syntax
