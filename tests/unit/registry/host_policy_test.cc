#include "registry/host_policy.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

const HostPolicy kPolicy{.plain_http_hosts = {"plain.example", "other.example:81", "[fd00::1]:80"}};

TEST(HostPolicy, ChoosesTheScheme) {
  const struct {
    const char* host;
    const char* want;
  } cases[] = {
      {"ghcr.io", "https://ghcr.io/"},
      {"127.0.0.1:5000", "http://127.0.0.1:5000/"},
      {"[::1]:5000", "http://[::1]:5000/"},
      {"plain.example:9", "http://plain.example:9/"},
      {"other.example:81", "http://other.example:81/"},
      {"other.example", "https://other.example/"},
      {"[fd00::1]:80", "http://[fd00::1]:80/"},
      {"[fd00::2]:80", "https://[fd00::2]:80/"},
  };
  for (const auto& c : cases) {
    const auto url = kPolicy.BaseUrl(c.host);
    ASSERT_TRUE(url.ok()) << c.host;
    EXPECT_EQ(url->text(), c.want);
  }
}

TEST(HostPolicy, ChecksWhereOneRequestLeads) {
  const struct {
    const char* from;
    const char* to;
    bool want;
  } cases[] = {
      {"https://a.example", "https://b.example", true},
      {"http://127.0.0.1:5000", "https://b.example", true},
      {"http://127.0.0.1:5000", "http://127.0.0.1:9", true},
      {"http://127.0.0.1:5000", "http://b.example", false},
      {"https://a.example", "http://a.example", false},
      {"https://a.example", "http://127.0.0.1:1", false},
      {"https://plain.example", "http://plain.example", true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(kPolicy.CheckStep(*Url::Parse(c.from), *Url::Parse(c.to)).ok(), c.want)
        << c.from << " -> " << c.to;
  }
}

}  // namespace
}  // namespace starling::registry
