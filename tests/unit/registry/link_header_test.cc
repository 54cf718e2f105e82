#include "registry/link_header.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(NextLink, FindsTheNextPage) {
  const struct {
    std::string_view name;
    std::vector<std::string_view> values;
    std::string_view want;
  } cases[] = {
      {"no header", {}, ""},
      {"as registries write it",
       {R"(</v2/a/referrers/d?n=1&last=x>; rel="next")"},
       "/v2/a/referrers/d?n=1&last=x"},
      {"without quotes and space", {"<next>;rel=next"}, "next"},
      {"other case", {R"(<next>; REL="Next")"}, "next"},
      {"second of a list", {R"(<first>; rel="first", <next>; rel="next")"}, "next"},
      {"second header", {R"(<first>; rel="first")", R"(<next>; rel="next")"}, "next"},
      {"several relations", {R"(<next>; rel="last next")"}, "next"},
      {"later parameter", {R"(<next>; title="a; b, c"; rel="next")"}, "next"},
      {"comma in the target", {R"(<a,b;c>; rel="next")"}, "a,b;c"},
      {"a longer word", {R"(<no>; rel="nextish")"}, ""},
      {"another parameter", {R"(<no>; title="next")"}, ""},
      {"no relation", {"<no>"}, ""},
      {"not closed", {R"(<no; rel="next")"}, ""},
      {"open quote", {R"(<no>; title="; rel="next")"}, ""},
      {"no brackets", {R"(no; rel="next")"}, ""},
      {"empty", {""}, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(NextLink(c.values), c.want);
  }
}

}  // namespace
}  // namespace starling::registry
