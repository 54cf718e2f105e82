#include "base/text.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

TEST(Text, IsTrimmedLoweredAndChecked) {
  EXPECT_EQ(TrimSpace(" \t a b\r\n"), "a b");
  EXPECT_EQ(TrimSpace(" \n"), "");
  EXPECT_EQ(LowerCase("X-Amz-\xc3\x84"), "x-amz-\xc3\x84");
  EXPECT_TRUE(IsOneWord("ey.J/+="));
  for (const char* text : {"a b", "a\r\n", "\x7f", "\xc3\x84"}) {
    EXPECT_FALSE(IsOneWord(text));
  }
}

}  // namespace
}  // namespace starling
