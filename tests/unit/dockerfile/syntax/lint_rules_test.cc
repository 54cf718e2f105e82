#include "dockerfile/syntax/lint_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LintRules, HaveNamesAndExplanations) {
  std::set<std::string_view> names;
  for (int i = 0; i < kLintRules; ++i) {
    names.insert(NameOf(static_cast<LintRule>(i)));
    EXPECT_THAT(std::string(ExplanationOf(static_cast<LintRule>(i))), ::testing::EndsWith("."));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kLintRules));
  EXPECT_EQ(NameOf(LintRule::kExposeInvalidFormat), "ExposeInvalidFormat");
  EXPECT_EQ(NameOf(LintRule::kUndefinedVar), "UndefinedVar");
}

TEST(ParseCheckOptions, ReadsTheDirective) {
  const auto options = ParseCheckOptions({"skip=StageNameCasing, fromascasing;error=true", {}});
  ASSERT_TRUE(options.ok());
  EXPECT_THAT(options->skip, ElementsAre(LintRule::kStageNameCasing, LintRule::kFromAsCasing));
  EXPECT_TRUE(options->error);
  EXPECT_FALSE(options->Wants(LintRule::kFromAsCasing));
  EXPECT_TRUE(options->Wants(LintRule::kUndefinedVar));
  EXPECT_FALSE(options->Wants(LintRule::kInvalidDefinitionDescription)) << "experimental";
  const auto all = ParseCheckOptions({"skip=all;experimental=InvalidDefinitionDescription", {}});
  EXPECT_FALSE(all->Wants(LintRule::kUndefinedVar));
  EXPECT_TRUE(all->Wants(LintRule::kInvalidDefinitionDescription));
  EXPECT_TRUE(
      ParseCheckOptions({"experimental=all", {}})->Wants(LintRule::kInvalidDefinitionDescription));
}

TEST(ParseCheckOptions, RefusesWhatItDoesNotKnow) {
  const struct {
    std::string_view text, message, suggestion;
  } cases[] = {{"skip=StageNameCasin", "unknown rule", "StageNameCasing"},
               {"skp=all", "unknown option", "skip"},
               {"error=maybe", "neither true nor false", ""},
               {"skip", "no NAME=VALUE", ""},
               {"skip=", "unknown rule", ""},
               {"skip=all;", "no NAME=VALUE", ""}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto options = ParseCheckOptions({std::string(c.text), {{1, 9}, {1, 10}}});
    ASSERT_FALSE(options.ok());
    EXPECT_THAT(options.status().message, HasSubstr(std::string(c.message)));
    EXPECT_EQ(options.status().suggestion, c.suggestion);
    EXPECT_EQ(options.status().range.begin, (Position{1, 9}));
  }
}

TEST(ParseCheckComment, CountsForOneInstruction) {
  const auto options = ParseCheckComment({"check = skip=UndefinedVar // set by the base", {}});
  ASSERT_TRUE(options && options->ok());
  EXPECT_THAT((*options)->skip, ElementsAre(LintRule::kUndefinedVar));
  EXPECT_FALSE(ParseCheckComment({"checked=yes", {}}));
  EXPECT_FALSE(ParseCheckComment({"check this", {}}));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
