#include "registry/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

StatusOr<std::vector<std::string>> Tags(Harness& harness) {
  return harness.client.Tags(*oci::Reference::Parse("a.example/b"));
}

/// Page `number` of a list that goes on at `next`.
HttpResponse Page(int number, const std::string& next) {
  std::vector<Header> headers;
  if (!next.empty()) {
    headers.push_back({"link", fmt::format("<{}>; rel=\"next\"", next)});
  }
  return Answer(200, fmt::format(R"({{"name":"b","tags":["t{}"]}})", number), headers);
}

TEST(ReadPages, FollowsLinksAtTheRegistryItself) {
  const struct {
    const char* name;
    std::string next;  // of the first page
    StatusCode want;
    std::string second;  // request
  } cases[] = {
      {"one page", "", StatusCode::kOk, ""},
      {"a path", "/v2/b/tags/list?n=1&last=t0", StatusCode::kOk,
       "https://a.example/v2/b/tags/list?n=1&last=t0"},
      {"a query alone", "?last=t0", StatusCode::kOk, "https://a.example/v2/b/tags/list?last=t0"},
      {"a whole URL", "https://a.example/v2/b/tags/list?last=t0", StatusCode::kOk,
       "https://a.example/v2/b/tags/list?last=t0"},
      {"elsewhere", "https://c.example/v2/b/tags/list?last=t0", StatusCode::kPermissionDenied, ""},
      {"unencrypted", "http://a.example/v2/b/tags/list?last=t0", StatusCode::kPermissionDenied, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    int asked = 0;
    Harness harness([&](const HttpRequest&) {
      const int number = asked++;
      return Page(number, number == 0 ? c.next : "");
    });
    EXPECT_EQ(Tags(harness).status().code(), c.want);
    const auto requests = harness.transport.requests();
    EXPECT_EQ(requests.front().url, "https://a.example/v2/b/tags/list?n=1000");
    EXPECT_EQ(requests.size(), c.second.empty() ? 1u : 2u);
    EXPECT_TRUE(c.second.empty() || requests.back().url == c.second) << requests.back().url;
  }
}

TEST(ReadPages, EndsWhereARegistryGoesRoundInCircles) {
  Harness harness([&](const HttpRequest&) { return Page(1, "?again"); });
  EXPECT_EQ(Tags(harness).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(harness.transport.requests().size(), 2000u);
}

}  // namespace
}  // namespace starling::registry
