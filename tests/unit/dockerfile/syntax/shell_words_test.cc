#include "dockerfile/syntax/shell_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::optional<std::string> Known(std::string_view name) {
  static const std::map<std::string, std::string, std::less<>> kVariables = {
      {"DIR", "/srv/app"}, {"EMPTY", ""}, {"LIST", "a  b c"}, {"이름", "korean"}};
  const auto found = kVariables.find(name);
  return found == kVariables.end() ? std::nullopt : std::optional(found->second);
}

TEST(Expand, ReplacesVariables) {
  const struct {
    std::string_view text, want;
  } cases[] = {
      {"$DIR/bin", "/srv/app/bin"},
      {"${DIR}bin", "/srv/appbin"},
      {"$DIRx", ""},
      {"$이름", "korean"},
      {"${NONE:-x y}${EMPTY:-z}", "x yz"},
      {"${NONE-x}${EMPTY-z}", "x"},
      {"${DIR:+set}${EMPTY:+set}${NONE:+set}", "set"},
      {"${DIR+a}${EMPTY+b}${NONE+c}", "ab"},
      {"${DIR:?x}${EMPTY?x}", "/srv/app"},
      {"${DIR#*/}", "srv/app"},
      {"${DIR##*/}", "app"},
      {"${DIR%/*}", "/srv"},
      {"${DIR%%/*}", ""},
      {"${DIR/s/S}", "/Srv/app"},
      {"${DIR//p/P}", "/srv/aPP"},
      {R"(${DIR//\//.})", ".srv.app"},
      {R"(${NONE:-\}})", "}"},
      {"${NONE:-${ALSO:-deep}}", "deep"},
      {R"(${NONE:-"a'b"})", "a'b"},
      {R"(\$DIR '$DIR' "$DIR")", "$DIR $DIR /srv/app"},
      {R"("a\"b\c\\")", R"(a"b\c\)"},
      {"$ $. ${1}$@$$", "$ $. "},
      {"tail\\", "tail"},
      {"bytes \xff$DIR", "bytes \xff/srv/app"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto got = Expand(c.text, Known);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->text, c.want);
  }
}

TEST(Expand, SaysWhatIsWrong) {
  const struct {
    std::string_view text, want;
  } cases[] = {
      {"'open", "single quote"},
      {"\"open", "double quote"},
      {"${DIR", "'}' is missing"},
      {"${DIR:-x", "'}' is missing"},
      {"${}", "name is missing"},
      {"${{x}}", "name is missing"},
      {"${:-x}", "name is missing"},
      {"${DIR=x}", "modifier (=)"},
      {"${DIR:=x}", "modifier (:=)"},
      {"${DIR:#x}", "modifier (:#)"},
      {"${DIR:", "modifier (:)"},
      {"${DIR//x}", "'/' is missing"},
      {"${NONE?}", "NONE: is not allowed to be unset"},
      {"${EMPTY:?}", "EMPTY: is not allowed to be empty"},
      {"${NONE:?say why}", "NONE: say why"},
      {R"(${DIR#\a})", "invalid pattern"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto got = Expand(c.text, Known);
    ASSERT_FALSE(got.ok());
    EXPECT_THAT(got.status().ToString(), HasSubstr(std::string(c.want)));
  }
}

TEST(Expand, SplitsWordsOutsideOfQuotes) {
  EXPECT_THAT(Expand("x$LIST \"$LIST\" y", Known)->words,
              ElementsAre("xa", "b", "c", "a  b c", "y"));
  EXPECT_THAT(Expand(R"(a\ b '' c)", Known)->words, ElementsAre("a b", "c"));
}

TEST(Expand, ReportsWhichVariablesWereAskedFor) {
  const auto got = Expand("$DIR ${NONE:-$EMPTY} $DIR", Known);
  EXPECT_THAT(got->matched, ElementsAre("DIR", "EMPTY"));
  EXPECT_THAT(got->unmatched, ElementsAre("NONE"));
}

TEST(Expand, KeepsWhatItIsToldToKeep) {
  EXPECT_EQ(Expand(R"("a" 'b' \c)", Known, {.keep_quotes = true, .keep_escapes = true})->text,
            R"("a" 'b' \c)");
  EXPECT_EQ(Expand("$NONE ${NONE:-x} $DIR", Known, {.keep_unset = true})->text,
            "$NONE ${NONE:-x} /srv/app");
  EXPECT_EQ(Expand("it's $DIR \\$DIR", Known, {.ignore_quotes = true})->text, "it's /srv/app $DIR");
  EXPECT_EQ(Expand("`$DIR C:\\x", Known, {.escape = '`'})->text, "$DIR C:\\x");
}

TEST(Expand, IsBounded) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) {
    deep += "${A:-";
  }
  EXPECT_EQ(Expand(deep, NoVariables).status().code(), StatusCode::kResourceExhausted);
  const Lookup large = [](std::string_view) { return std::string(kMaxExpansionBytes / 2, 'x'); };
  EXPECT_EQ(Expand("$A$A$A$A", large).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Expand("\"$A$A$A$A\"", large).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::syntax
