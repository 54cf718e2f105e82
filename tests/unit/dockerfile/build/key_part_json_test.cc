#include "dockerfile/build/key_part_json.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::build {
namespace {

TEST(KeyPartJson, IsReadAsItWasWritten) {
  for (const std::vector<plan::KeyPart>& parts :
       {std::vector<plan::KeyPart>(),
        std::vector<plan::KeyPart>{{"command", "a \"b\"\n"}, {"", ""}, {"command", "again"}}}) {
    const oci::Json json = KeyPartsJson(parts);
    const auto read = KeyPartsIn(&json);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, parts);
  }
  EXPECT_EQ(oci::WriteJson(KeyPartsJson({{"a", "b"}})), R"([{"name":"a","value":"b"}])");
}

TEST(KeyPartJson, RefusesAllElse) {
  EXPECT_EQ(KeyPartsIn(nullptr).status().code(), StatusCode::kDataLoss);
  for (const char* text :
       {"{}", "3", "[3]", "[{}]", R"([{"name": "a"}])", R"([{"name": "a", "value": 3}])",
        R"([{"name": null, "value": ""}])", R"([{"name": "a", "value": "b"}, null])"}) {
    const oci::Json json = oci::Json::parse(text);
    EXPECT_EQ(KeyPartsIn(&json).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace starling::dockerfile::build
