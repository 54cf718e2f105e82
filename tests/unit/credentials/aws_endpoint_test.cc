#include "credentials/aws_endpoint.h"

#include <gtest/gtest.h>

#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

TEST(AwsEndpoint, TheServicesOwnVariableGoesFirst) {
  const Environment none;
  const Environment all = none.With("AWS_ENDPOINT_URL", "http://all");
  EXPECT_EQ(AwsEndpoint(none, "ECR", "https://usual"), "https://usual");
  EXPECT_EQ(AwsEndpoint(all, "ECR", "https://usual"), "http://all");
  EXPECT_EQ(AwsEndpoint(all.With("AWS_ENDPOINT_URL_ECR", "http://ecr"), "ECR", "https://usual"),
            "http://ecr");
  EXPECT_EQ(AwsEndpoint(all.With("AWS_ENDPOINT_URL_STS", "http://sts"), "ECR", "https://usual"),
            "http://all");
}

TEST(AwsDomain, ChinaHasItsOwn) {
  EXPECT_EQ(AwsDomain("cn-north-1"), "amazonaws.com.cn");
  EXPECT_EQ(AwsDomain("us-east-1"), "amazonaws.com");
}

TEST(SignedPost, SignsTheHostThatIsSent) {
  const AwsKeys keys{.access_key_id = "A", .secret_access_key = "S"};
  const AwsScope scope{.region = "r", .service = "s", .time = {}};
  const struct {
    const char* url;
    const char* host;
    const char* path;
  } cases[] = {
      {"https://api.example/", "api.example", "/"},
      {"https://api.example:443/", "api.example", "/"},
      {"http://127.0.0.1:4566/a/b?c=d", "127.0.0.1:4566", "/a/b"},
      {"http://[::1]:80/", "[::1]", "/"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.url);
    const auto request = SignedPost(c.url, {{"X-A", "b"}}, ToBytes("{}"), keys, scope);
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->method, "POST");
    EXPECT_EQ(FakeTransport::HeaderOf(*request, "X-A"), "b");
    const auto want = SignAwsRequest(
        {.host = c.host, .path = c.path, .headers = {{"X-A", "b"}}, .body = ToBytes("{}")}, keys,
        scope);
    EXPECT_EQ(FakeTransport::HeaderOf(*request, "Authorization"), want.back().value);
  }
  EXPECT_FALSE(SignedPost("not a url", {}, {}, keys, scope).ok());
}

}  // namespace
}  // namespace starling::credentials
