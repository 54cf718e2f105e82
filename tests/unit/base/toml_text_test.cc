#include "base/toml_text.h"

#include <gtest/gtest.h>

#include <string>

#include "base/toml.h"

namespace starling {
namespace {

TEST(TomlText, WhatIsWrittenIsReadBack) {
  for (const std::string text : {"", "plain", "with \"quotes\" and \\", "lines\nand\ttabs\r",
                                 "a\x01z\x7f", "\xc3\xa4", "#", "'"}) {
    const std::string line = TomlKey(text) + " = " + TomlStrings({text, "second"});
    const toml::parse_result parsed = toml::parse(line);
    ASSERT_TRUE(parsed) << line;
    const toml::node* const list = parsed.table().get(text);
    ASSERT_NE(list, nullptr) << line;
    EXPECT_EQ(list->as_array()->get(0)->value<std::string>(), text);
    EXPECT_EQ(list->as_array()->get(1)->value<std::string>(), "second");
  }
}

TEST(TomlText, QuotesNamesOnlyWhereTheyNeedIt) {
  EXPECT_EQ(TomlPathText({"plugins", "io.containerd.grpc.v1.cri", "a-b_1"}),
            "plugins.\"io.containerd.grpc.v1.cri\".a-b_1");
  EXPECT_EQ(TomlKey(""), "\"\"");
}

}  // namespace
}  // namespace starling
