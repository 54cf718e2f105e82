#include "dockerfile/syntax/characters.h"

#include <gtest/gtest.h>

#include <string>

namespace starling::dockerfile::syntax {
namespace {

TEST(FirstCharacter, ReadsUtf8AndPassesOnTheRest) {
  const struct {
    std::string_view name, text;
    size_t bytes;
    char32_t code;
  } cases[] = {
      {"ascii", "ab", 1, 'a'},
      {"two bytes", "é!", 2, 0xE9},
      {"three bytes", "한", 3, 0xD55C},
      {"four bytes", "😀", 4, 0x1F600},
      {"continuation alone", "\x80x", 1, kNoCharacter},
      {"cut off", "\xE2\x82", 1, kNoCharacter},
      {"overlong", "\xC0\xAF", 1, kNoCharacter},
      {"overlong of three", "\xE0\x80\xAF", 1, kNoCharacter},
      {"surrogate", "\xED\xA0\x80", 1, kNoCharacter},
      {"beyond Unicode", "\xF4\x90\x80\x80", 1, kNoCharacter},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Character got = FirstCharacter(c.text);
    EXPECT_EQ(got.bytes.size(), c.bytes);
    EXPECT_EQ(got.code, c.code);
  }
}

TEST(IsNameCharacter, TakesLettersAndDigitsOfAnyScript) {
  for (const char32_t yes : {U'a', U'Z', U'0', U'_', U'é', U'한', U'٣', U'𐐀'}) {
    EXPECT_TRUE(IsNameCharacter(yes)) << static_cast<uint32_t>(yes);
  }
  for (const char32_t no : {U'-', U'.', U'—', U'€', U'²', char32_t{kNoCharacter}}) {
    EXPECT_FALSE(IsNameCharacter(no)) << static_cast<uint32_t>(no);
  }
}

TEST(ToUtf8, ReplacesWhatIsNoCharacter) {
  EXPECT_TRUE(IsUtf8("aé\uFFFD"));
  EXPECT_FALSE(IsUtf8("a\xff"));
  EXPECT_EQ(ToUtf8("a\xffé\xE2\x82"), "a\uFFFDé\uFFFD\uFFFD");
}

TEST(TrimUnicodeSpace, CutsBothEnds) {
  EXPECT_EQ(TrimUnicodeSpace("\u00a0\t a b\u2003\r\n"), "a b");
  EXPECT_EQ(TrimUnicodeSpace(" \u3000"), "");
  EXPECT_EQ(TrimSpaceLeft("\u2028x "), "x ");
}

}  // namespace
}  // namespace starling::dockerfile::syntax
