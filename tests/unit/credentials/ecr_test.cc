#include "credentials/ecr.h"

#include "base/hex.h"
#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ParseEcrHost, KnowsAmazonsRegistries) {
  const auto show = [](const char* host) {
    const auto found = ParseEcrHost(host);
    return !found ? std::string("no")
                  : fmt::format("{}{} {}{}{}", found->is_public ? "public" : "", found->account,
                                found->region, found->is_fips ? " fips" : "",
                                found->is_dual_stack ? " dual" : "");
  };
  const struct {
    const char* host;
    const char* want;
  } cases[] = {
      {"123456789012.dkr.ecr.us-east-1.amazonaws.com", "123456789012 us-east-1"},
      {"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "123456789012 us-gov-west-1 fips"},
      {"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "123456789012 cn-north-1"},
      {"123456789012.dkr-ecr.eu-west-1.on.aws", "123456789012 eu-west-1 dual"},
      {"public.ecr.aws", "public us-east-1"},
      {"123456789012.dkr.ecr.cn-north-1.amazonaws.com", "no"},
      {"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example", "no"},
      {"123456789012.dkr.ecr.us-east-1.amazonaws.com:443", "no"},
      {"123456789012.dkr.ecr.us.east.amazonaws.com", "no"},
      {"123456789012.dkr.ecr..amazonaws.com", "no"},
      {"12345678901.dkr.ecr.us-east-1.amazonaws.com", "no"},
      {"x23456789012.dkr.ecr.us-east-1.amazonaws.com", "no"},
      {"evil.public.ecr.aws", "no"},
      {"docker.io", "no"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(show(c.host), c.want) << c.host;
  }
}

const std::map<std::string, std::string> kKeys = {{"AWS_ACCESS_KEY_ID", "AKID"},
                                                  {"AWS_SECRET_ACCESS_KEY", "hunter2"}};
const registry::CredentialRequest kImage{.registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                                         .repository = "app"};

/// The ECR API: logins are numbered, and last for 12 hours from 2026-01-01 on.
struct EcrApi {
  std::atomic<int> logins = 0;
  HttpResponse operator()(const HttpRequest&) {
    const int number = ++logins;
    return Answer(
        200,
        fmt::format(R"({{"authorizationData":[{{"authorizationToken":"{}","expiresAt":{}}}]}})",
                    Base64Encode(AsBytes(fmt::format("AWS:login{}", number))),
                    1767225600.0 + 12 * 3600 * number));
  }
};

TEST(EcrCredentials, AsksOnceForTwelveHours) {
  EcrApi api;
  Cloud cloud(std::ref(api));
  EcrCredentials source(cloud.With(kKeys));
  const auto login = source.Find(kImage);
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->username, "AWS");
  EXPECT_EQ(login->password, "login1");
  EXPECT_EQ(login->renew_at, cloud.clock.Now() + std::chrono::minutes(12 * 60 - 15));
  registry::CredentialRequest other = kImage;
  other.repository = "other";
  EXPECT_EQ(source.Find(other)->password, "login1") << "one login is good for the registry";
  cloud.clock.Advance(std::chrono::minutes(12 * 60 - 16));
  EXPECT_EQ(source.Find(kImage)->password, "login1");
  cloud.clock.Advance(std::chrono::minutes(2));
  EXPECT_EQ(source.Find(kImage)->password, "login2");
  EXPECT_EQ(api.logins, 2);

  const auto request = cloud.transport.requests().front();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.url, "https://api.ecr.eu-west-1.amazonaws.com/");
  EXPECT_EQ(BodyOf(request), "{}");
  EXPECT_EQ(FakeTransport::HeaderOf(request, "X-Amz-Target"),
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
  EXPECT_THAT(FakeTransport::HeaderOf(request, "Authorization"),
              HasSubstr("Credential=AKID/20260101/eu-west-1/ecr/aws4_request, "
                        "SignedHeaders=content-type;host;x-amz-date;x-amz-target"));
}

TEST(EcrCredentials, EachRegistryHasItsEndpoint) {
  const struct {
    const char* host;
    const char* url;
    const char* scope;
  } cases[] = {
      {"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
       "https://ecr-fips.us-east-1.amazonaws.com/", "/us-east-1/ecr/"},
      {"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
       "https://api.ecr.cn-north-1.amazonaws.com.cn/", "/cn-north-1/ecr/"},
      {"123456789012.dkr-ecr.eu-west-1.on.aws", "https://ecr.eu-west-1.api.aws/",
       "/eu-west-1/ecr/"},
      {"public.ecr.aws", "https://api.ecr-public.us-east-1.amazonaws.com/",
       "/us-east-1/ecr-public/"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.host);
    EcrApi api;
    Cloud cloud(std::ref(api));
    EcrCredentials source(cloud.With(kKeys));
    ASSERT_TRUE(source.Find({.registry = c.host, .repository = "app"}).ok());
    const auto request = cloud.transport.requests().front();
    EXPECT_EQ(request.url, c.url);
    EXPECT_THAT(FakeTransport::HeaderOf(request, "Authorization"), HasSubstr(c.scope));
  }
}

TEST(EcrCredentials, LooksAtNothingForOtherRegistries) {
  Cloud cloud(Nobody);
  EcrCredentials source(cloud.With({}));
  for (const char* host : {"docker.io", "ghcr.io", "gcr.io", "x.azurecr.io"}) {
    const Status status = source.Find({.registry = host, .repository = "app"}).status();
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
    EXPECT_EQ(MessageOf(status), "");
  }
  EXPECT_FALSE(source.Find({.registry = "public.ecr.aws", .repository = "app"}).ok());
  EXPECT_TRUE(cloud.asked().empty()) << "the public registry needs no machine's identity";
}

TEST(EcrCredentials, ARefusedLoginIsAskedForAgainButNotAtOnce) {
  EcrApi api;
  Cloud cloud(std::ref(api));
  EcrCredentials source(cloud.With(kKeys));
  const auto first = source.Find(kImage);
  source.Refused(kImage, *first);
  EXPECT_EQ(source.Find(kImage)->password, "login1") << "it is new";
  cloud.clock.Advance(std::chrono::minutes(1));
  source.Refused(kImage, *first);
  EXPECT_EQ(source.Find(kImage)->password, "login2");
}

TEST(EcrCredentials, SaysWhatAwsSaysButNoSecret) {
  Cloud cloud([](const HttpRequest&) {
    return Answer(400, R"({"__type":"UnrecognizedClientException","message":"token is invalid"})");
  });
  Cloud telling([](const HttpRequest&) { return Answer(400, R"({"message":"hunter2"})"); });
  EXPECT_THAT(Describe(EcrCredentials(cloud.With(kKeys)).Find(kImage).status()),
              AllOf(HasSubstr("ecr GetAuthorizationToken in eu-west-1"),
                    HasSubstr("token is invalid"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(Describe(EcrCredentials(telling.With(kKeys)).Find(kImage).status()),
              AllOf(HasSubstr("answered 400"), Not(HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace starling::credentials
