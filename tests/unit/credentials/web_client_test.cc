#include "credentials/web_client.h"

#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(WebClient, TriesAgainAndGivesUpSoonNearby) {
  Cloud cloud(Nobody);
  EXPECT_FALSE(cloud.web.Ask({.url = "https://a.example/"}).ok());
  EXPECT_EQ(cloud.asked().size(), 4u);
  EXPECT_FALSE(cloud.web.AskNearby({.url = "http://169.254.169.254/"}).ok());
  EXPECT_EQ(cloud.asked().size(), 6u);
  EXPECT_EQ(cloud.transport.requests().back().proxy, registry::Proxy::kNever);
  EXPECT_LE(cloud.transport.requests().back().timeout, std::chrono::seconds(2));
}

TEST(FormRequest, EscapesValues) {
  const HttpRequest request = FormRequest("https://a/", {{"a", "1&b=2"}, {"c", "ü"}});
  EXPECT_EQ(BodyOf(request), "a=1%26b%3D2&c=%C3%BC");
  EXPECT_EQ(request.method, "POST");
}

TEST(CheckEncrypted, AllowsThisMachineOnly) {
  EXPECT_TRUE(CheckEncrypted("https://a.example/", "x").ok());
  EXPECT_TRUE(CheckEncrypted("http://127.0.0.1:1/", "x").ok());
  EXPECT_FALSE(CheckEncrypted("http://a.example/", "x").ok());
  EXPECT_FALSE(CheckEncrypted("ftp://a.example/", "x").ok());
}

TEST(ErrorOfService, KeepsSecretsBack) {
  const HttpResponse response = Answer(400, R"({"message":"bad token hunter2"})");
  EXPECT_THAT(Describe(ErrorOfService(response, "it", {})), HasSubstr("bad token"));
  EXPECT_THAT(Describe(ErrorOfService(response, "it", {"", "hunter2"})), Not(HasSubstr("hunter2")));
  EXPECT_TRUE(TellsSecret("cut off: 3456789abcde", {"0123456789abcdefghij"}));
  EXPECT_FALSE(TellsSecret("cut off: 56789abcde", {"0123456789abcdefghij"}));
}

}  // namespace
}  // namespace starling::credentials
