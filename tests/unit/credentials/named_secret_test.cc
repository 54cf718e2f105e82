#include "credentials/named_secret.h"

#include "base/hex.h"
#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kEcr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

TEST(ParseSecret, RefusesWithoutTelling) {
  for (const char* text : {"", "hunter2", ":hunter2", "hunter2:", "u:hunter2\nmore",
                           R"({"a":["hunter2"]})", R"({"a":1,"b":"hunter2"})", R"({"hunter2")"}) {
    SCOPED_TRACE(text);
    const Status status = ParseSecret(AsBytes(text)).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(Describe(status), Not(HasSubstr("hunter2")));
  }
}

TEST(NamedSecret, ReadsEveryForm) {
  const std::string auth = Base64Encode(AsBytes("u:p"));
  const struct {
    std::string text;
    std::string registry;
    std::string want;
  } cases[] = {
      {"u:p:q\n", "r.example", "u:p:q"},
      {R"({"username":"u","password":"p"})", "r.example", "u:p"},
      {R"({"REGISTRY_USERNAME":"u","REGISTRY_PASSWORD":"p"})", "r.example", "u:p"},
      {R"({"REGISTRY_USERNAME":"u","REGISTRY_PASSWORD":"p"})", "docker.io", "u:p"},
      {R"({"GITHUB_TOKEN":"g"})", "ghcr.io", "x-access-token:g"},
      {fmt::format(R"({{"auths":{{"r.example":{{"auth":"{}"}}}}}})", auth), "r.example", "u:p"},
      {R"({"AWS_ACCESS_KEY_ID":"A","AWS_SECRET_ACCESS_KEY":"S","AWS_REGION":"eu-west-1"})", kEcr,
       "AWS:login"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    Cloud cloud([](const HttpRequest&) {
      return Answer(
          200, fmt::format(
                   R"({{"authorizationData":[{{"authorizationToken":"{}","expiresAt":1.7E9}}]}})",
                   Base64Encode(AsBytes("AWS:login"))));
    });
    const auto secret = NamedSecret::Open("env:S", c.registry, cloud.With({{"S", c.text}}));
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_EQ((*secret)->Name(), "secret env:S");
    const auto found = (*secret)->Find({c.registry, "app"});
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->username + ":" + found->password, c.want);
    EXPECT_EQ(MessageOf((*secret)->Find({"other.example", "app"}).status()), "")
        << "it goes to no other registry";
  }
}

TEST(NamedSecret, LooksAtNothingElseOfTheMachine) {
  Cloud cloud(Nobody);
  const std::string file = cloud.WriteFile("secret", R"({"UNRELATED":"hunter2"})");
  const auto secret =
      NamedSecret::Open("file:" + file, kEcr,
                        cloud.With({{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "S"}}));
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_THAT(Describe((*secret)->Find({kEcr, "app"}).status()),
              AllOf(HasSubstr("AWS_ACCESS_KEY_ID"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(cloud.asked(), IsEmpty());
}

TEST(NamedSecret, ARoleTakesTheMachinesToken) {
  Cloud cloud([](const HttpRequest&) { return Answer(403); });
  const auto secret = NamedSecret::Open(
      "env:S", kEcr,
      cloud.With({{"S", R"({"AWS_ROLE_ARN":"arn","AWS_REGION":"eu-west-1"})"},
                  {"AWS_WEB_IDENTITY_TOKEN_FILE", cloud.WriteFile("token", "ey.J")}}));
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_FALSE((*secret)->Find({kEcr, "app"}).ok());
  ASSERT_EQ(cloud.asked().size(), 1u);
  EXPECT_THAT(BodyOf(cloud.transport.requests().front()), HasSubstr("WebIdentityToken=ey.J"));
}

TEST(NamedSecret, SaysWhatIsWrongWithTheName) {
  Cloud cloud(Nobody);
  for (const char* name : {"u:hunter2", "hunter2", "env:", "file:", ""}) {
    SCOPED_TRACE(name);
    EXPECT_THAT(Describe(NamedSecret::Open(name, "r", cloud.With({})).status()),
                AllOf(HasSubstr("env:VARIABLE or file:PATH"), Not(HasSubstr("hunter2"))));
  }
  EXPECT_EQ(NamedSecret::Open("env:NO", "r", cloud.With({})).status().code(),
            StatusCode::kNotFound);
  EXPECT_FALSE(NamedSecret::Open("file:/no/such", "r", cloud.With({})).ok());
}

}  // namespace
}  // namespace starling::credentials
