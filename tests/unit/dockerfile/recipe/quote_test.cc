#include "dockerfile/recipe/quote.h"

#include <gtest/gtest.h>

#include <random>

#include "dockerfile/syntax/flags.h"
#include "dockerfile/syntax/shell_words.h"
#include "dockerfile/syntax/statement.h"

namespace starling::dockerfile::recipe {
namespace {

TEST(QuoteWord, LeavesPlainWordsAsTheyAre) {
  EXPECT_EQ(QuoteWord("numpy==1.26.4"), "numpy==1.26.4");
  EXPECT_EQ(QuoteWord("a b"), "'a b'");
  EXPECT_EQ(QuoteWord("it's"), R"('it'"'"'s')");
  EXPECT_EQ(QuoteWord(""), "''");
}

TEST(QuoteWord, ExpandsToTheValueAgain) {
  std::mt19937 random(1);
  constexpr std::string_view kCharacters = "$'\"\\`{}a b\t\n#!~*&;:-é";
  for (int i = 0; i < 20000; ++i) {
    std::string value;
    for (size_t left = random() % 12; left > 0; --left) {
      value += kCharacters[random() % kCharacters.size()];
    }
    for (const char escape : {'\\', '`'}) {
      const auto expanded =
          syntax::Expand(QuoteWord(value), syntax::NoVariables, {.escape = escape});
      ASSERT_TRUE(expanded.ok()) << value;
      ASSERT_EQ(expanded->text, value);
    }
  }
}

TEST(QuoteFlagValue, IsReadAsTheValue) {
  for (const std::string_view value :
       {"**/*.pyc", "a b", "it's", R"(back\slash)", R"("quoted")", "!keep", "tab\there"}) {
    const auto parsed = syntax::ParseStatements("COPY --exclude=" + QuoteFlagValue(value) + " a b");
    ASSERT_EQ(parsed.statements.size(), 1U);
    ASSERT_EQ(parsed.statements[0].flags.size(), 1U) << value;
    EXPECT_EQ(parsed.statements[0].flags[0].value, "--exclude=" + std::string(value));
    EXPECT_EQ(parsed.statements[0].arguments.size(), 2U) << value;
  }
}

TEST(QuoteGlob, ProtectsWhatAPatternUses) {
  EXPECT_EQ(QuoteGlob("a[1]*?\\.txt"), R"(a\[1]\*\?\\.txt)");
}

}  // namespace
}  // namespace starling::dockerfile::recipe
