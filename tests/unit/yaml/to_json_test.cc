#include "yaml/to_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::yaml {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Show(std::string_view text) {
  const auto documents = ToJson(text);
  if (!documents.ok()) return Describe(documents.status());
  std::string shown;
  for (const std::string& document : *documents) {
    shown += (shown.empty() ? "" : " | ") + document;
  }
  return shown;
}

TEST(ToJson, ReadsWhatManifestsAreMadeOf) {
  const struct {
    std::string_view text;
    std::string_view want;
  } cases[] = {
      {"a: b\nc:\n  - d\n  - {e: 'f'}\n", R"({"a":"b","c":["d",{"e":"f"}]})"},
      {"a: 12\nb: true\nc: \"1\\n2\"\n", R"({"a":"12","b":"true","c":"1\n2"})"},
      {"a:\nb: ~\nc: null\nd: 'null'\ne: \"\"\n",
       R"({"a":null,"b":null,"c":null,"d":"null","e":""})"},
      {"a: |\n  one\n  two\nb: >-\n  one\n  two\n", R"({"a":"one\ntwo\n","b":"one two"})"},
      {"# nothing\n---\na: b\n---\n- c\n...\n", R"({"a":"b"} | ["c"])"},
      {"", ""},
      {"---\n---\n", "null | null"},
      {" \n\t{\"a\": 1.50,\n\t\"b\": [true]}\n", R"({"a":1.5,"b":[true]})"},
      {"text", R"("text")"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Show(c.text), c.want) << c.text;
  }
}

TEST(ToJson, RefusesWhatGrowsOrMeansMore) {
  std::string deep = "a";
  for (size_t level = 0; level <= kMaxDepth; ++level) {
    deep = "[" + deep + "]";
  }
  const struct {
    std::string text;
    const char* want;
  } cases[] = {
      {"a: &x hunter2\nb: *x\n", "line 1: an anchor"},
      {"a: b\nc: *hunter2\n", "line 2: an alias"},
      {"a: !!python/object hunter2\n", "line 1: a tag"},
      {"a: b\na: hunter2\n", "line 2: a key for the second time"},
      {"? {a: b}\n: c\n", "line 1: a key that is no text"},
      {"? [a]\n: b\n", "line 1: a key that is no text"},
      {deep, "deeper than 32 levels"},
      {"a: [hunter2\n", "line 2:"},
      {"a: \"hunter2\n", "line 2:"},
      {"\xff\xfe hunter2", "line 1:"},
      {"{\"a\": hunter2}", "JSON"},
      {std::string(kMaxBytes + 1, ' '), "at most 4194304 are read"},
  };
  for (const auto& c : cases) {
    const std::string shown = Show(c.text);
    EXPECT_THAT(shown, HasSubstr(c.want));
    EXPECT_THAT(shown, Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace starling::yaml
