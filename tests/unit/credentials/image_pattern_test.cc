#include "credentials/image_pattern.h"

#include <gtest/gtest.h>

namespace starling::credentials {
namespace {

TEST(MatchesImage, GlobsAsKubeletDoes) {
  const struct {
    const char* pattern;
    const char* registry;
    const char* repository;
    bool want;
  } cases[] = {
      {"r.example", "r.example", "app", true},
      {"r.example", "R.example", "app", true},
      {"*.example", "r.example", "app", true},
      {"*.example", "a.r.example", "app", false},
      {"*.*.example", "a.r.example", "app", true},
      {"example.*", "example.io", "app", true},
      {"r*.example", "registry.example", "app", true},
      {"r*y.example", "registry.example", "app", true},
      {"r*x.example", "registry.example", "app", false},
      {"?.example", "r.example", "app", true},
      {"?.example", "rr.example", "app", false},
      {"[a-z].example", "r.example", "app", true},
      {"[^a-z].example", "r.example", "app", false},
      {"[^a-z].example", "7.example", "app", true},
      {"[]r].example", "r.example", "app", true},
      {"[a.example", "a.example", "app", false},
      {"*", "example", "app", true},
      {"*", "r.example", "app", false},
      {"", "r.example", "app", false},
      {"123456789012.dkr.ecr.*.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "a",
       true},
      {"r.example:5000", "r.example:5000", "app", true},
      {"r.example:5000", "r.example", "app", false},
      {"r.example", "r.example:5000", "app", false},
      {"r.example/team", "r.example", "team/app", true},
      // A prefix of the text, not of the path: as in kubelet.
      {"r.example/team", "r.example", "teams/app", true},
      {"r.example/team/", "r.example", "teams/app", false},
      {"r.example/team", "r.example", "other/app", false},
      {"https://r.example/v1/", "r.example", "app", true},
      {"https://r.example/v2/team", "r.example", "team/app", true},
      {"https://r.example/", "r.example", "app", true},
      {"https://index.docker.io/v1/", "docker.io", "library/ubuntu", true},
      {"docker.io", "docker.io", "library/ubuntu", true},
      {"docker.io/me", "docker.io", "library/ubuntu", false},
      {"*.io", "docker.io", "library/ubuntu", true},
      {"[::1]:5000", "[::1]:5000", "app", true},
      {"r.example", "r.example", "", true},
      {"r.example/team", "r.example", "", false},
      // Ends soon, whatever is tried.
      {"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "app", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(MatchesImage(c.pattern, {.registry = c.registry, .repository = c.repository}), c.want)
        << c.pattern << " for " << c.registry << "/" << c.repository;
  }
}

TEST(LoginsFor, TheLongestPathGoesFirst) {
  const auto login = [](const char* pattern) {
    return PatternLogin{.pattern = pattern, .credentials = {.username = pattern}};
  };
  const std::vector<PatternLogin> all = {login("https://r.example"),  login("r.example/team"),
                                         login("other.example"),      login("*.example"),
                                         login("r.example/team/app"), login("r.example/x")};
  std::vector<std::string> order;
  for (const PatternLogin& found :
       LoginsFor({.registry = "r.example", .repository = "team/app"}, all)) {
    order.push_back(found.pattern);
  }
  EXPECT_EQ(order, (std::vector<std::string>{"r.example/team/app", "r.example/team",
                                             "https://r.example", "*.example"}));
}

}  // namespace
}  // namespace starling::credentials
