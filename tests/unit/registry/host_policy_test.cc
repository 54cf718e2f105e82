#include "registry/host_policy.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

const HostPolicy kPolicy{.plain_http_hosts = {"plain.example", "other.example:81", "[fd00::1]:80"},
                         .local_hosts = {"169.254.7.7:443", "[fe80::7]"}};

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
      {"https://a.example", "https://169.254.169.254/latest/meta-data", false},
      {"http://127.0.0.1:5000", "http://169.254.169.254/", false},
      {"http://127.0.0.1:5000", "https://169.254.169.254/", false},
      {"https://a.example", "https://[::ffff:a9fe:a9fe]/", false},
      {"https://a.example", "https://2852039166/", false},
      {"https://a.example", "https://0x7f.1/", false},
      {"https://a.example", "https://127.0.0.1:10250/", false},
      {"https://a.example", "https://localhost/", false},
      {"https://a.example", "https://[::1]/", false},
      {"https://a.example", "https://0.0.0.0/", false},
      {"https://a.example", "https://10.0.0.1/", true},
      {"https://a.example", "https://169.254.7.7/", true},
      {"https://a.example", "https://169.254.7.7:444/", false},
      {"https://a.example", "https://[fe80::7]:9/", true},
      {"https://169.254.1.1", "https://169.254.1.1/storage", true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(kPolicy.CheckStep(*Url::Parse(c.from), *Url::Parse(c.to)).ok(), c.want)
        << c.from << " -> " << c.to;
  }
}

TEST(HostPolicy, BoundsWhatANameMayStandFor) {
  const struct {
    const char* registry;
    const char* to;
    Reach want;
  } cases[] = {
      {"https://a.example", "https://a.example:9/token", Reach::kAnywhere},
      {"https://a.example", "https://b.example", Reach::kOrdinary},
      {"http://127.0.0.1:5000", "https://b.example", Reach::kNotLocal},
      {"https://a.example", "https://169.254.7.7", Reach::kAnywhere},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(kPolicy.ReachOf(*Url::Parse(c.registry), *Url::Parse(c.to)), c.want)
        << c.registry << " -> " << c.to;
  }
}

TEST(HostPolicy, CredentialsGoOnlyWhereNobodyOnTheWayHasSentThem) {
  const struct {
    const char* registry;
    const char* realm;
    bool want;
  } cases[] = {
      {"https://a.example", "https://auth.example", true},
      {"http://127.0.0.1:5000", "https://auth.example", true},
      {"http://plain.example", "https://auth.example", false},
      {"http://plain.example", "https://plain.example:8443", true},
      {"http://plain.example", "http://other.example:81", true},
      {"http://plain.example", "https://other.example:82", false},
      {"http://plain.example", "https://169.254.7.7", true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(kPolicy.MayReceiveCredentials(*Url::Parse(c.registry), *Url::Parse(c.realm)), c.want)
        << c.registry << " -> " << c.realm;
  }
}

}  // namespace
}  // namespace starling::registry
