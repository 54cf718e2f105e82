#include "estargz/json_text.h"

#include <gtest/gtest.h>

namespace starling::estargz {
namespace {

TEST(IsUtf8, KnowsWhatJsonCanCarry) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("\xc3\xa9"));
  EXPECT_FALSE(IsUtf8("\xc3"));
}

TEST(AppendJsonText, EscapesWhatNeedsIt) {
  const struct {
    std::string_view text;
    std::string_view want;
  } cases[] = {{"", R"(x"")"},
               {"plain ~", R"(x"plain ~")"},
               {"\"\\\n", R"(x"\"\\\n")"},
               {"\xc3\xa9", "x\"\xc3\xa9\""},
               {"\xff", "x\"\xef\xbf\xbd\""}};
  for (const auto& c : cases) {
    std::string json = "x";
    AppendJsonText(json, c.text);
    EXPECT_EQ(json, c.want);
  }
}

TEST(JsonTime, HasTheDigitsThatAreNeeded) {
  EXPECT_EQ(JsonTime(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(JsonTime(-1, 500'000'000), "1969-12-31T23:59:59.5Z");
  EXPECT_EQ(JsonTime(0, 1), "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(JsonTime(INT64_MAX), "9999-12-31T23:59:59Z");
  EXPECT_TRUE(IsTimeOfJson(253'402'300'799));
  EXPECT_FALSE(IsTimeOfJson(253'402'300'800));
  EXPECT_FALSE(IsTimeOfJson(INT64_MIN));
}

}  // namespace
}  // namespace starling::estargz
