#include "credentials/aws_signature.h"

#include <gtest/gtest.h>

namespace starling::credentials {
namespace {

// AWS's Signature Version 4 test suite: 2015-08-30T12:36:00Z, us-east-1, "service".
const std::chrono::system_clock::time_point kTime =
    std::chrono::system_clock::from_time_t(1440938160);
const std::string kUnreserved =
    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

TEST(SignAwsRequest, GivesTheSignaturesOfThePublishedTestSuite) {
  const struct {
    const char* name;
    AwsRequest request;
    const char* signed_headers;
    const char* signature;
    const char* session_token = "";
  } cases[] = {
      {"get-vanilla",
       {.method = "GET"},
       "host;x-amz-date",
       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"get-header-key-duplicate",
       {.method = "GET",
        .headers = {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}}},
       "host;my-header1;x-amz-date",
       "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
      {"get-header-value-order",
       {.method = "GET",
        .headers = {{"My-Header1", "value4"},
                    {"My-Header1", "value1"},
                    {"My-Header1", "value3"},
                    {"My-Header1", "value2"}}},
       "host;my-header1;x-amz-date",
       "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
      {"get-header-value-trim",
       {.method = "GET", .headers = {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}},
       "host;my-header1;my-header2;x-amz-date",
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"get-unreserved",
       {.method = "GET", .path = "/" + kUnreserved},
       "host;x-amz-date",
       "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-utf8",
       {.method = "GET", .path = "/\xe1\x88\xb4"},
       "host;x-amz-date",
       "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-vanilla-empty-query-key",
       {.method = "GET", .query = {{"Param1", "value1"}}},
       "host;x-amz-date",
       "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
      {"get-vanilla-query-order-key-case",
       {.method = "GET", .query = {{"Param2", "value2"}, {"Param1", "value1"}}},
       "host;x-amz-date",
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-vanilla-query-unreserved",
       {.method = "GET", .query = {{kUnreserved, kUnreserved}}},
       "host;x-amz-date",
       "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
      {"get-vanilla-utf8-query",
       {.method = "GET", .query = {{"\xe1\x88\xb4", "bar"}}},
       "host;x-amz-date",
       "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
      {"get-vanilla-with-session-token",
       {.method = "GET"},
       "host;x-amz-date;x-amz-security-token",
       "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
       "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"},
      {"post-vanilla",
       {.method = "POST"},
       "host;x-amz-date",
       "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"post-header-value-case",
       {.method = "POST", .headers = {{"My-Header1", "VALUE1"}}},
       "host;my-header1;x-amz-date",
       "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
      {"post-vanilla-query",
       {.method = "POST", .query = {{"Param1", "value1"}}},
       "host;x-amz-date",
       "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
      {"post-x-www-form-urlencoded",
       {.method = "POST",
        .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
        .body = ToBytes("Param1=value1")},
       "content-type;host;x-amz-date",
       "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
      {"post-x-www-form-urlencoded-parameters",
       {.method = "POST",
        .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}},
        .body = ToBytes("Param1=value1")},
       "content-type;host;x-amz-date",
       "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    AwsRequest request = c.request;
    request.host = "example.amazonaws.com";
    const AwsKeys keys{.access_key_id = "AKIDEXAMPLE",
                       .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                       .session_token = c.session_token};
    const auto headers =
        SignAwsRequest(request, keys, {.region = "us-east-1", .service = "service", .time = kTime});
    EXPECT_EQ(headers.front().name, "X-Amz-Date");
    EXPECT_EQ(headers.front().value, "20150830T123600Z");
    EXPECT_EQ(headers.back().name, "Authorization");
    EXPECT_EQ(headers.back().value,
              fmt::format("AWS4-HMAC-SHA256 "
                          "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                          "SignedHeaders={}, Signature={}",
                          c.signed_headers, c.signature));
    EXPECT_EQ(headers.size(), *c.session_token != '\0' ? 3u : 2u);
  }
}

}  // namespace
}  // namespace starling::credentials
