#include "dockerfile/syntax/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace starling::dockerfile::syntax {
namespace {

TEST(Suggest, NamesTheNearest) {
  constexpr std::string_view kNames[] = {"RUN", "COPY", "ENTRYPOINT", "from"};
  const struct {
    std::string_view word, want;
  } cases[] = {{"FNTRYPOINT", "ENTRYPOINT"},
               {"copi", "COPY"},
               {"RNU", "RUN"},
               {"foo", "from"},
               {"COPY", ""},
               {"x", ""},
               {"WORKDIR", ""}};
  for (const auto& c : cases) {
    EXPECT_EQ(Suggest(c.word, kNames), c.want) << c.word;
  }
  EXPECT_EQ(Suggest(std::string(100000, 'x'), kNames), "") << "not compared at all";
  const std::vector<std::string_view> many(2000, "form");
  EXPECT_EQ(Suggest("from", many), "") << "nor these";
}

TEST(DidYouMean, IsTheEndOfAnError) {
  EXPECT_EQ(DidYouMean("from", "--"), " (did you mean --from?)");
  EXPECT_EQ(DidYouMean(""), "");
}

}  // namespace
}  // namespace starling::dockerfile::syntax
