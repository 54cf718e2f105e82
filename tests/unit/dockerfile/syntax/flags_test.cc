#include "dockerfile/syntax/flags.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

constexpr FlagSpec kKnown[] = {
    {"from", FlagKind::kText}, {"link", FlagKind::kSwitch}, {"exclude", FlagKind::kList}};

Checked<Flags> Parse(std::vector<std::string> flags) {
  std::vector<Text> given;
  int column = 1;
  for (std::string& flag : flags) {
    given.push_back({std::move(flag), {{1, column}, {1, column}}});
    ++column;
  }
  return Flags::Parse(given, kKnown);
}

TEST(Flags, AreTyped) {
  const auto flags = Parse({"--from=a=b", "--link", "--exclude=x", "--exclude=y"});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(flags->Find("from")->value, "a=b");
  EXPECT_EQ(flags->FindSwitch("link"), true);
  EXPECT_EQ(flags->All("exclude").size(), 2U);
  EXPECT_EQ(Parse({"--link=FALSE"})->FindSwitch("link"), false);
  EXPECT_EQ(Parse({})->FindSwitch("link"), std::nullopt);
  EXPECT_EQ(Parse({})->Find("from"), std::nullopt);
}

TEST(Flags, AreRefusedWithPlaceAndSuggestion) {
  const struct {
    std::vector<std::string> flags;
    int column;
    std::string_view suggestion;
  } cases[] = {
      {{"--link", "--form=x"}, 2, "--from"},
      {{"--unrelated"}, 1, ""},
      {{"--from=a", "--from=b"}, 2, ""},
      {{"--link", "--link=false"}, 2, ""},
      {{"--from"}, 1, ""},
      {{"--from="}, 1, ""},
      {{"--link=yes"}, 1, ""},
      {{"--link="}, 1, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.flags.back());
    const auto flags = Parse(c.flags);
    ASSERT_FALSE(flags.ok());
    EXPECT_EQ(flags.status().range.begin.column, c.column);
    EXPECT_EQ(flags.status().suggestion, c.suggestion);
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax
