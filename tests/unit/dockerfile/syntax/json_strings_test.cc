#include "dockerfile/syntax/json_strings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ParseJsonStrings, ReadsArraysOfStrings) {
  EXPECT_THAT(**ParseJsonStrings(R"( [ "a", "b c\n\"\u00e9" ] )"), ElementsAre("a", "b c\n\"é"));
  EXPECT_THAT(**ParseJsonStrings("[]"), IsEmpty());
}

TEST(ParseJsonStrings, TakesOtherTextForNone) {
  for (const std::string_view text :
       {"", "a", "['a']", "[\"a\"", "[\"a\"] b", "[\"a\",]", "{\"a\": 1}", "[\"\xff\"]"}) {
    const auto got = ParseJsonStrings(text);
    ASSERT_TRUE(got.ok()) << text;
    EXPECT_FALSE(got->has_value()) << text;
  }
  EXPECT_FALSE(ParseJsonStrings(std::string(100000, '['))->has_value()) << "depth is bounded";
}

TEST(ParseJsonStrings, RefusesArraysOfOtherThings) {
  for (const std::string_view text :
       {"[1]", "[\"a\", null]", "[true]", "[[\"a\"]]", "[{\"a\": \"b\"}]", "[1.5]"}) {
    EXPECT_EQ(ParseJsonStrings(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(JsonOfStrings, WritesWhatIsReadBack) {
  const std::vector<std::string> strings = {"a", "b\"\\\n", "é"};
  EXPECT_EQ(**ParseJsonStrings(JsonOfStrings(strings)), strings);
}

}  // namespace
}  // namespace starling::dockerfile::syntax
