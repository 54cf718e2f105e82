#include "registry/tag_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

StatusOr<std::vector<std::string>> Tags(Harness& harness) {
  return harness.client.Tags(*oci::Reference::Parse("a.example/b"));
}

TEST(ListTags, JoinsThePages) {
  int page = 0;
  Harness harness([&](const HttpRequest&) {
    return page++ == 0 ? Answer(200, R"({"name":"b","tags":["1","2"]})",
                                {{"Link", R"(</v2/b/tags/list?last=2>; rel="next")"}})
                       : Answer(200, R"({"name":"b","tags":["latest"]})");
  });
  const auto tags = Tags(harness);
  ASSERT_TRUE(tags.ok()) << tags.status();
  EXPECT_THAT(*tags, ElementsAre("1", "2", "latest"));
}

TEST(ListTags, TakesAListAndNothingElse) {
  const struct {
    const char* name;
    int status;
    std::string body;
    StatusCode want;
    const char* said;
  } cases[] = {
      {"no tags", 200, R"({"name":"b","tags":null})", StatusCode::kOk, ""},
      {"an empty list", 200, R"({"name":"b","tags":[]})", StatusCode::kOk, ""},
      {"no repository", 404, R"({"errors":[{"code":"NAME_UNKNOWN","message":"unknown"}]})",
       StatusCode::kNotFound, "NAME_UNKNOWN"},
      {"no JSON", 200, "<html>", StatusCode::kDataLoss, "no list of tags"},
      {"no list", 200, R"({"tags":"latest"})", StatusCode::kDataLoss, "no list of tags"},
      {"what a terminal would obey", 200, R"({"tags":["\u001b[2J"]})", StatusCode::kDataLoss,
       "no tag"},
      {"a number", 200, R"({"tags":[1]})", StatusCode::kDataLoss, "no tag"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Harness harness([&](const HttpRequest&) { return Answer(c.status, c.body); });
    const auto tags = Tags(harness);
    EXPECT_EQ(tags.status().code(), c.want);
    EXPECT_THAT(Describe(tags.status()), HasSubstr(c.said));
    EXPECT_TRUE(tags.ok() || Describe(tags.status()).find("a.example/b: tags") != std::string::npos)
        << tags.status();
  }
}

}  // namespace
}  // namespace starling::registry
