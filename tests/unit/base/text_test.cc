#include "base/text.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

TEST(TakeLine, GoesFromEndToEnd) {
  std::string_view text = "one\n\ntwo\r\nlast";
  for (const std::string_view want : {"one", "", "two\r", "last"}) {
    ASSERT_FALSE(text.empty());
    EXPECT_EQ(TakeLine(text), want);
  }
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(TakeLine(text), "");
  text = "\n";
  EXPECT_EQ(TakeLine(text), "");
  EXPECT_TRUE(text.empty());
}

TEST(Text, IsTrimmedLoweredAndChecked) {
  EXPECT_EQ(TrimSpace(" \t a b\r\n"), "a b");
  EXPECT_EQ(TrimSpace(" \n"), "");
  EXPECT_EQ(LowerCase("X-Amz-\xc3\x84"), "x-amz-\xc3\x84");
  EXPECT_TRUE(IsOneWord("ey.J/+="));
  for (const char* text : {"a b", "a\r\n", "\x7f", "\xc3\x84"}) {
    EXPECT_FALSE(IsOneWord(text));
  }
}

TEST(Text, IsShownWithoutControlCharacters) {
  EXPECT_EQ(Shown("/usr/lib/na\xc3\xafve x"), "/usr/lib/na\xc3\xafve x");
  EXPECT_EQ(Shown("\x1b[2J\n\x7f"), "\\x1b[2J\\x0a\\x7f");
  EXPECT_EQ(Shown("\xc2\x9b"
                  "1m"),
            "\xc2\\x9b1m")
      << "U+009b begins a sequence, too";
}

TEST(Text, BecomesOneWordOfAShell) {
  EXPECT_EQ(ShellWord("docker://a.b:5000/c_d:1-2@sha256:0"), "docker://a.b:5000/c_d:1-2@sha256:0");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(ShellWord("a b"), "'a b'");
  EXPECT_EQ(ShellWord("$(x)'y"), "'$(x)'\\''y'");
}

TEST(PercentEncode, KeepsOnlyUnreserved) {
  EXPECT_EQ(PercentEncode("a:b/c ~&="), "a%3Ab%2Fc%20~%26%3D");
}

}  // namespace
}  // namespace starling
