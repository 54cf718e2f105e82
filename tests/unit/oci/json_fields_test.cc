#include "oci/json_fields.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

Json Parsed(std::string_view text) { return *ParseJsonObject(AsBytes(text), 1000, "test"); }

TEST(ParseJsonObject, RefusesWhatIsNoBoundedObject) {
  const struct {
    std::string_view name;
    std::string text;
    StatusCode want;
  } cases[] = {
      {"object", "{}", StatusCode::kOk},
      {"not JSON", "{", StatusCode::kDataLoss},
      {"empty", "", StatusCode::kDataLoss},
      {"list", "[]", StatusCode::kDataLoss},
      {"trailing bytes", "{} {}", StatusCode::kDataLoss},
      {"not UTF-8", "{\"a\":\"\xff\"}", StatusCode::kDataLoss},
      {"as deep as allowed", R"({"a":)" + std::string(63, '[') + std::string(63, ']') + "}",
       StatusCode::kOk},
      {"too deep", R"({"a":)" + std::string(64, '[') + std::string(64, ']') + "}",
       StatusCode::kDataLoss},
      {"brackets in a text", R"({"a":"\")" + std::string(100, '[') + "\"}", StatusCode::kOk},
      {"too large", R"({"a":")" + std::string(1000, 'x') + "\"}", StatusCode::kResourceExhausted},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ParseJsonObject(AsBytes(c.text), 1000, "test").status().code(), c.want);
  }
}

TEST(ParseStrictJsonObject, SaysWhatIsWrong) {
  constexpr int kMaxDepth = 3;
  const struct {
    std::string_view name;
    std::string text;
    std::string_view want;
  } cases[] = {
      {"object", R"({"a":{"b":1},"c":{"b":2}})", ""},
      {"same name further in", R"({"a":{"a":{"a":1}}})", ""},
      {"member twice", R"({"a":1,"b":2,"a":3})", "\"a\" is there twice in one object"},
      {"member twice further in", R"({"a":[{"b":1,"b":1}]})", "\"b\" is there twice in one object"},
      {"too deep", R"({"a":[[[1]]]})", "nested more than 3 deep"},
      {"list", "[]", "not a JSON object"},
      {"cut off", R"({"a":)", "not a JSON object"},
      {"empty", "", "not a JSON object"},
      {"trailing bytes", "{} {}", "not a JSON object"},
      {"deeper than any stack", std::string(1'000'000, '['), "nested more than 3 deep"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto parsed = ParseStrictJsonObject(AsBytes(c.text), kMaxDepth);
    EXPECT_EQ(MessageOf(parsed.status()), c.want);
    EXPECT_EQ(parsed.status().code(),
              c.want.empty() ? StatusCode::kOk : StatusCode::kInvalidArgument);
  }
}

TEST(SizeField, IsANonNegativeInteger) {
  EXPECT_EQ(*SizeField(Parsed(R"({"n":0})"), "n"), 0U);
  EXPECT_EQ(*SizeField(Parsed(R"({"n":9223372036854775807})"), "n"), 9223372036854775807U);
  for (const std::string_view text :
       {R"({"n":-1})", R"({"n":1.5})", R"({"n":"1"})", R"({"n":9223372036854775808})",
        R"({"n":1e3})", R"({"n":99999999999999999999})", R"({"n":null})", R"({})",
        R"({"n":true})"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(SizeField(Parsed(text), "n").status().code(), StatusCode::kDataLoss);
  }
}

TEST(TextListField, AcceptsListsAndSingleTexts) {
  using List = std::vector<std::string>;
  EXPECT_EQ(*TextListField(Parsed(R"({"l":["a","b"]})"), "l"), (List{"a", "b"}));
  EXPECT_EQ(*TextListField(Parsed(R"({"l":"a"})"), "l"), List{"a"});
  EXPECT_EQ(*TextListField(Parsed(R"({"l":null})"), "l"), List{});
  EXPECT_FALSE(TextListField(Parsed(R"({"l":[1]})"), "l").ok());
  EXPECT_FALSE(TextListField(Parsed(R"({"l":{}})"), "l").ok());
}

TEST(WriteJson, NeverFails) {
  Json document = Json::object();
  document["a"] = "\xff";
  EXPECT_EQ(WriteJson(document), "{\"a\":\"\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace starling::oci
