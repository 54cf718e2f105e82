#include "registry/url.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(Url, ReadsItsParts) {
  const auto url = Url::Parse("https://GHCR.io/v2/a/b?x=secret#part");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host(), "ghcr.io");
  EXPECT_EQ(url->port(), 443);
  EXPECT_TRUE(url->encrypted());
  EXPECT_EQ(url->ForMessages().find("secret"), std::string::npos);
  const auto v6 = Url::Parse("http://[::1]:5000/v2/");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host(), "::1");
  EXPECT_EQ(v6->port(), 5000);
}

TEST(Url, RefusesWhatIsNotAPlaceOfARegistry) {
  for (const char* text :
       {"", "file:///etc/passwd", "ftp://a/b", "https://user:pw@a/", "/v2/", "http://a b/",
        "gopher://a", "https://", "http://a/\nX: y", "https://a%BBb/", "https://a%7fb/"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(Url::Parse(text).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(Url, ResolvesLocations) {
  const auto base = Url::Parse("https://a.example:5000/v2/x/blobs/uploads/");
  ASSERT_TRUE(base.ok());
  const struct {
    const char* location;
    const char* want;
  } cases[] = {
      {"/v2/x/blobs/uploads/1?s=2", "https://a.example:5000/v2/x/blobs/uploads/1?s=2"},
      {"https://b.example/c", "https://b.example/c"},
      {"//c.example/d", "https://c.example/d"},
      {"7", "https://a.example:5000/v2/x/blobs/uploads/7"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.location);
    const auto resolved = base->Resolve(c.location);
    ASSERT_TRUE(resolved.ok());
    EXPECT_EQ(resolved->text(), c.want);
  }
  EXPECT_FALSE(base->Resolve("").ok());
  EXPECT_FALSE(base->Resolve("file:///etc/passwd").ok());
  EXPECT_FALSE(base->Resolve("https://user@b/").ok());
}

TEST(Url, BindsCredentialsToSchemeHostAndPort) {
  const auto url = [](const char* text) { return *Url::Parse(text); };
  EXPECT_TRUE(url("https://a/x").SameOrigin(url("https://A:443/y")));
  EXPECT_FALSE(url("https://a/").SameOrigin(url("http://a/")));
  EXPECT_FALSE(url("https://a/").SameOrigin(url("https://a:444/")));
  EXPECT_FALSE(url("https://a/").SameOrigin(url("https://a.b/")));
}

TEST(IsLoopback, KnowsTheMachineItself) {
  for (const char* host : {"127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host :
       {"128.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "::2"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

}  // namespace
}  // namespace starling::registry
