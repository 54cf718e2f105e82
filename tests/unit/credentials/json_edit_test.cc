#include "credentials/json_edit.h"

#include <gtest/gtest.h>

namespace starling::credentials {
namespace {

constexpr std::string_view kOdd =
    "{\n\t\"big\" : 12345678901234567890.10,\n\t\"auths\":{ \"a\": {\"auth\":\"}\\\"\"} },\n"
    "\t\"\\u0062\":[1e3, {\"}\": \"]\"}]\n}\n";

TEST(SetJsonMember, ChangesNothingElse) {
  const struct {
    std::string_view text;
    std::vector<std::string> path;
    std::string_view want;
  } cases[] = {
      {"{}", {"a"}, R"({"a": 7})"},
      {" { } ", {"a", "b", "c"}, R"( {"a": {"b": {"c": 7}}} )"},
      {R"({"a":1})", {"a"}, R"({"a":7})"},
      {R"({"a":1,"b":2})", {"a"}, R"({"a":7,"b":2})"},
      {R"({"a":1})", {"b"}, R"({"a":1,"b": 7})"},
      {"{\n  \"a\": {\n    \"x\": 1\n  }\n}\n",
       {"a", "y"},
       "{\n  \"a\": {\n    \"x\": 1,\n    \"y\": 7\n  }\n}\n"},
      {"{\"a\":{\"x\":1}}", {"a"}, "{\"a\":7}"},
      // Of two with one name the last one counts.
      {R"({"a":1,"a":2})", {"a"}, R"({"a":1,"a":7})"},
      {R"({"a\"b":1})", {"a\"b"}, R"({"a\"b":7})"},
      {kOdd,
       {"b"},
       "{\n\t\"big\" : 12345678901234567890.10,\n\t\"auths\":{ \"a\": {\"auth\":\"}\\\"\"} },\n"
       "\t\"\\u0062\":7\n}\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto edited = SetJsonMember(c.text, c.path, "7");
    ASSERT_TRUE(edited.ok()) << edited.status();
    EXPECT_EQ(*edited, c.want);
  }
}

TEST(EraseJsonMember, ChangesNothingElse) {
  const struct {
    std::string_view text;
    std::vector<std::string> path;
    std::string_view want;
  } cases[] = {
      {"{}", {"a"}, "{}"},
      {R"({"a":1})", {"b"}, R"({"a":1})"},
      {R"({ "a":1 })", {"a"}, "{}"},
      {R"({"a":1, "b":2, "c":3})", {"a"}, R"({"b":2, "c":3})"},
      {R"({"a":1, "b":2, "c":3})", {"b"}, R"({"a":1, "c":3})"},
      {R"({"a":1, "b":2, "c":3})", {"c"}, R"({"a":1, "b":2})"},
      {R"({"a":1,"a":2})", {"a"}, "{}"},
      {R"({"a":{"x":1}})", {"a", "x"}, R"({"a":{}})"},
      {kOdd,
       {"auths", "a"},
       "{\n\t\"big\" : 12345678901234567890.10,\n\t\"auths\":{},\n"
       "\t\"\\u0062\":[1e3, {\"}\": \"]\"}]\n}\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto edited = EraseJsonMember(c.text, c.path);
    ASSERT_TRUE(edited.ok()) << edited.status();
    EXPECT_EQ(*edited, c.want);
  }
}

TEST(JsonEdit, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "7", "{", R"({"a":1,})", "{} {}", R"({"auths":[]})"}) {
    EXPECT_EQ(SetJsonMember(text, {"auths", "a"}, "7").status().code(),
              StatusCode::kInvalidArgument)
        << text;
    EXPECT_EQ(EraseJsonMember(text, {"auths", "a"}).status().code(), StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace starling::credentials
