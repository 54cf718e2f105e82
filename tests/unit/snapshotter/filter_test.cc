#include "snapshotter/filter.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace starling::snapshotter {
namespace {

Info Sample() {
  return {.name = "sha256:0123",
          .parent = "",
          .kind = Kind::kCommitted,
          .created = {},
          .updated = {},
          .labels = {{"containerd.io/snapshot.ref", "sha256:abc"}, {"a", "x,y"}, {"deep.er", "1"}}};
}

TEST(Filter, ChoosesAsContainerdDoes) {
  const struct {
    std::string_view name;
    std::vector<std::string> texts;
    bool want;
  } cases[] = {
      {"no filter chooses all", {}, true},
      {"an empty filter chooses all", {""}, true},
      {"a value without quotes may hold a colon", {"name==sha256:0123"}, true},
      {"another name", {"name==sha256:012"}, false},
      {"kind in lower case", {"kind==committed"}, true},
      {"kind in another case", {"kind==Committed"}, false},
      {"an empty parent is present", {"parent"}, true},
      {"an empty parent equals the empty text", {"parent==\"\""}, true},
      {"the filter that finds remote snapshots",
       {"labels.\"containerd.io/snapshot.ref\"==sha256:abc,parent==\"\""},
       true},
      {"all selectors must hold", {"name==sha256:0123,kind==active"}, false},
      {"any filter may hold", {"kind==active", "kind==committed"}, true},
      {"a comma in quotes", {"labels.a==\"x,y\""}, true},
      {"the rest of the path is one label key", {"labels.deep.er==1"}, true},
      {"a label that is there", {"labels.a"}, true},
      {"a label that is not there", {"labels.b"}, false},
      {"an unknown field equals nothing", {"color==\"\""}, false},
      {"an absent field differs from a value", {"labels.b!=1"}, true},
      {"an absent field does not differ from nothing", {"labels.b!=\"\""}, false},
      {"an expression is found anywhere", {"name~=25"}, true},
      {"an anchored expression", {"name~=^256"}, false},
      {"an expression in slashes", {"name~=/^sha\\d*/"}, false},
      {"an expression in bars", {"name~=|^sha256:[0-9]+$|"}, true},
      {"an expression with an escaped backslash", {"name~=/^sha\\\\d+:/"}, true},
      {"an absent field matches what matches nothing", {"labels.b~=^$"}, true},
      {"escapes in quotes", {"labels.a==\"\\x78,\\u0079\""}, true},
      {"octal escapes", {"labels.a==\"\\170,y\""}, true},
      {"spaces around an operator", {" name == sha256:0123"}, true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<Filter> filter = Filter::Parse(c.texts);
    if (c.name == "an expression in slashes") {
      // \d is no escape of Go's; it must be written \\d.
      EXPECT_EQ(filter.status().code(), StatusCode::kInvalidArgument);
      continue;
    }
    ASSERT_TRUE(filter.ok()) << filter.status();
    EXPECT_EQ(filter->Matches(Sample()), c.want);
  }
}

TEST(Filter, KnowsTheLabelOfAllThatItChooses) {
  const struct {
    std::vector<std::string> texts;
    std::optional<std::string> want;
  } cases[] = {
      {{R"(labels."a.b"==c,parent=="")"}, "c"},
      {{"parent==x,labels.a.b==c"}, "c"},
      {{"labels.a.b!=c"}, std::nullopt},
      {{"labels.a.b"}, std::nullopt},
      {{"labels.a==c"}, std::nullopt},
      {{"name==c"}, std::nullopt},
      {{"labels.a.b==c", "kind==view"}, std::nullopt},  // the second chooses others
      {{"labels.a.b==c", "labels.a.b==d"}, std::nullopt},
      {{}, std::nullopt},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(testing::PrintToString(c.texts));
    const auto filter = Filter::Parse(c.texts);
    ASSERT_TRUE(filter.ok()) << filter.status();
    EXPECT_EQ(filter->LabelOfAll("a.b"), c.want);
  }
}

TEST(Filter, RefusesWhatContainerdRefuses) {
  const std::string cases[] = {
      "bad filter ===",
      "name=",
      "name===x",
      "name==",
      "==x",
      "name==a,",
      ",name==a",
      "name==a b",
      "name==\"a",
      "name==/a/",
      "|name|==a",
      "name.",
      "name==\"\\q\"",
      "name==\"\\x4\"",
      "name==\"\\400\"",
      "name~=/(/",
      "name==\"a\nb",
      "n\xff",
      "name==.x",
      "name==!x",
      "name == a ",
      "name<a",
      std::string("name==\0", 7),
      "name==\"\\U00110000\"",
  };
  for (const std::string& text : cases) {
    SCOPED_TRACE(text);
    EXPECT_EQ(Filter::Parse(std::vector<std::string>{text}).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST(Filter, NamesTheTextAndThePlace) {
  const auto status = Filter::Parse(std::vector<std::string>{"name=x"}).status();
  EXPECT_EQ(MessageOf(status),
            "filter \"name=x\", byte 4: expected one of the operators ==, != and ~=");
}

TEST(Filter, RefusesAnEndlessText) {
  const std::string text = "name==" + std::string(70'000, 'x');
  EXPECT_EQ(Filter::Parse(std::vector<std::string>{text}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace starling::snapshotter
