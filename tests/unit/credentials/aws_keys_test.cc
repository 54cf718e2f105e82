#include "credentials/aws_keys.h"

#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto kMayBeAsked = AwsKeySource::Instance::kMayBeAsked;
constexpr auto kIsLeftAlone = AwsKeySource::Instance::kIsLeftAlone;

std::string StsAnswer(const std::string& id) {
  return fmt::format(
      "<R><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
      "<SessionToken>t</SessionToken><Expiration>2026-01-01T01:00:00Z</Expiration></Credentials></"
      "R>",
      id);
}

constexpr std::string_view kMetadataKeys =
    R"({"AccessKeyId":"META","SecretAccessKey":"s","Token":"t","Expiration":"2026-01-01T06:00:00Z"})";

/// The instance's metadata service, which insists on sessions (IMDSv2).
HttpResponse Instance(const HttpRequest& request) {
  if (request.method == "PUT" && request.url.ends_with("/latest/api/token")) {
    return FakeTransport::HeaderOf(request, "X-aws-ec2-metadata-token-ttl-seconds").empty()
               ? Answer(400)
               : Answer(200, "session");
  }
  if (FakeTransport::HeaderOf(request, "X-aws-ec2-metadata-token") != "session") {
    return Answer(401);
  }
  if (request.url.ends_with("/latest/meta-data/iam/security-credentials/")) {
    return Answer(200, "node-role\n");
  }
  return request.url.ends_with("/security-credentials/node-role") ? Answer(200, kMetadataKeys)
                                                                  : Answer(404);
}

TEST(AwsKeySource, VariablesGoFirst) {
  Cloud cloud(Nobody);
  cloud.WriteFile(".aws/credentials", "[default]\naws_access_key_id=F\naws_secret_access_key=S\n");
  AwsKeySource source(cloud.With(
      {{"AWS_ACCESS_KEY_ID", "V"}, {"AWS_SECRET_ACCESS_KEY", "S"}, {"AWS_SESSION_TOKEN", "T"}}));
  const auto keys = source.Find("eu-west-1", kMayBeAsked);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->access_key_id, "V");
  EXPECT_EQ(keys->session_token, "T");
  EXPECT_THAT(cloud.asked(), IsEmpty());
  EXPECT_THAT(Describe(AwsKeySource(cloud.With({{"AWS_ACCESS_KEY_ID", "V"}}))
                           .Find("eu-west-1", kMayBeAsked)
                           .status()),
              HasSubstr("only one is set"));
}

TEST(AwsKeySource, AProfileOfTheSharedFiles) {
  Cloud cloud(Nobody);
  const std::string file =
      cloud.WriteFile("elsewhere",
                      "[default]\naws_access_key_id=D\naws_secret_access_key=S\n"
                      "[dev]\naws_access_key_id=E\naws_secret_access_key=S\n");
  AwsKeySource usual(cloud.With({{"AWS_SHARED_CREDENTIALS_FILE", file}}));
  EXPECT_EQ(usual.Find("r", kMayBeAsked)->access_key_id, "D");
  AwsKeySource chosen(cloud.With({{"AWS_SHARED_CREDENTIALS_FILE", file}, {"AWS_PROFILE", "dev"}}));
  EXPECT_EQ(chosen.Find("r", kMayBeAsked)->access_key_id, "E");
  AwsKeySource missing(cloud.With({{"AWS_SHARED_CREDENTIALS_FILE", file}, {"AWS_PROFILE", "no"}}));
  EXPECT_THAT(Describe(missing.Find("r", kMayBeAsked).status()), HasSubstr("no profile \"no\""));
  EXPECT_THAT(cloud.asked(), IsEmpty());
}

TEST(AwsKeySource, ARoleOfAProfileIsAssumed) {
  Cloud cloud([](const HttpRequest&) { return Answer(200, StsAnswer("ROLE")); });
  cloud.WriteFile(".aws/config",
                  "[profile dev]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=base\n"
                  "external_id=ext\nregion=eu-west-1\n"
                  "[profile base]\naws_access_key_id=B\naws_secret_access_key=S\n");
  AwsKeySource source(cloud.With({{"AWS_PROFILE", "dev"}}));
  const auto keys = source.Find("us-east-1", kMayBeAsked);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->access_key_id, "ROLE");
  const auto requests = cloud.transport.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].url, "https://sts.eu-west-1.amazonaws.com/");
  EXPECT_EQ(BodyOf(requests[0]),
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
            "RoleSessionName=starling&ExternalId=ext");
  EXPECT_THAT(FakeTransport::HeaderOf(requests[0], "Authorization"),
              HasSubstr("Credential=B/20260101/eu-west-1/sts/aws4_request"));
  // An hour, less a tenth.
  cloud.clock.Advance(std::chrono::minutes(53));
  ASSERT_TRUE(source.Find("us-east-1", kMayBeAsked).ok());
  EXPECT_EQ(cloud.asked().size(), 1u);
  cloud.clock.Advance(std::chrono::minutes(2));
  ASSERT_TRUE(source.Find("us-east-1", kMayBeAsked).ok());
  EXPECT_EQ(cloud.asked().size(), 2u);
}

TEST(AwsKeySource, SaysWhatAProfileLacks) {
  const struct {
    const char* config;
    const char* want;
  } cases[] = {
      {"[default]\nrole_arn=a\n", "no usable source_profile"},
      {"[default]\nrole_arn=a\nsource_profile=b\n", "\"b\" is not there"},
      {"[default]\nrole_arn=a\nsource_profile=b\n[profile b]\nrole_arn=c\nsource_profile=default\n",
       "lead to each other"},
      {"[default]\nrole_arn=a\nmfa_serial=m\nsource_profile=default\n", "MFA"},
      {"[default]\ncredential_process=/bin/x hunter2\n", "export-credentials"},
      {"[default]\nsso_session=x\n", "sso_session"},
      {"[default]\nhunter2\n", "line 2"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.config);
    Cloud cloud(Nobody);
    cloud.WriteFile(".aws/config", c.config);
    AwsKeySource source(cloud.With({}));
    const Status status = source.Find("r", kMayBeAsked).status();
    EXPECT_NE(status.code(), StatusCode::kNotFound);
    EXPECT_THAT(Describe(status), AllOf(HasSubstr(c.want), Not(HasSubstr("hunter2"))));
    EXPECT_THAT(cloud.asked(), IsEmpty());
  }
}

TEST(AwsKeySource, ARoleByWebIdentity) {
  Cloud cloud([](const HttpRequest&) { return Answer(200, StsAnswer("WEB")); });
  const std::string token = cloud.WriteFile("token", "ey.J.x\n");
  AwsKeySource source(cloud.With({{"AWS_ROLE_ARN", "arn"},
                                  {"AWS_WEB_IDENTITY_TOKEN_FILE", token},
                                  {"AWS_ROLE_SESSION_NAME", "me"},
                                  {"AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1/"}},
                                 Surroundings::kNone));
  EXPECT_EQ(source.Find("r", kMayBeAsked)->access_key_id, "WEB");
  const auto requests = cloud.transport.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].url, "http://127.0.0.1:1/");
  EXPECT_EQ(BodyOf(requests[0]),
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn&RoleSessionName=me&"
            "WebIdentityToken=ey.J.x");
  EXPECT_EQ(FakeTransport::HeaderOf(requests[0], "Authorization"), "") << "the token is enough";
}

TEST(AwsKeySource, SaysWhatStsSaysButNoToken) {
  Cloud cloud([](const HttpRequest&) {
    return Answer(403, "<E><Error><Code>AccessDenied</Code><Message>not you</Message></Error></E>");
  });
  Cloud telling([](const HttpRequest&) {
    return Answer(400, "<E><Error><Code>Bad</Code><Message>token ey.J.x</Message></Error></E>");
  });
  for (Cloud* one : {&cloud, &telling}) {
    const std::string token = one->WriteFile("token", "ey.J.x");
    AwsKeySource source(
        one->With({{"AWS_ROLE_ARN", "arn"}, {"AWS_WEB_IDENTITY_TOKEN_FILE", token}}));
    const std::string error = Describe(source.Find("r", kMayBeAsked).status());
    EXPECT_THAT(error,
                AllOf(HasSubstr("STS https://sts.r.amazonaws.com/"), Not(HasSubstr("ey.J"))));
    EXPECT_EQ(error.find("AccessDenied: not you") != std::string::npos, one == &cloud) << error;
  }
}

TEST(AwsKeySource, TheContainersService) {
  const struct {
    const char* variable;
    const char* value;
    const char* url;  // empty: refused
  } cases[] = {
      {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", "http://169.254.170.2/v2/x"},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/x", "http://127.0.0.1:9/x"},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1",
       "http://169.254.170.23/v1"},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1",
       "http://[fd00:ec2::23]/v1"},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://keys.example/", "https://keys.example/"},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://keys.example/", ""},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.169.254/", ""},
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "file:///etc/passwd", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.value);
    Cloud cloud([](const HttpRequest&) { return Answer(200, kMetadataKeys); });
    AwsKeySource source(cloud.With(
        {{c.variable, c.value},
         {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", cloud.WriteFile("token", "pod-token")}}));
    const auto keys = source.Find("r", kMayBeAsked);
    const auto requests = cloud.transport.requests();
    ASSERT_EQ(requests.size(), *c.url == '\0' ? 0u : 1u);
    EXPECT_EQ(keys.ok(), *c.url != '\0') << keys.status();
    if (keys.ok()) {
      EXPECT_EQ(requests[0].url, c.url);
      EXPECT_EQ(requests[0].proxy, registry::Proxy::kNever);
      EXPECT_EQ(FakeTransport::HeaderOf(requests[0], "Authorization"), "pod-token");
    } else {
      EXPECT_NE(keys.status().code(), StatusCode::kNotFound);
    }
  }
}

TEST(AwsKeySource, TheInstancesServiceBySession) {
  Cloud cloud(Instance);
  AwsKeySource source(cloud.With({}));
  const auto keys = source.Find("r", kMayBeAsked);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->access_key_id, "META");
  const std::string base = "http://169.254.169.254/latest/";
  EXPECT_THAT(cloud.asked(),
              ElementsAre("PUT " + base + "api/token",
                          "GET " + base + "meta-data/iam/security-credentials/",
                          "GET " + base + "meta-data/iam/security-credentials/node-role"));
  for (const HttpRequest& request : cloud.transport.requests()) {
    EXPECT_EQ(request.proxy, registry::Proxy::kNever);
  }
}

TEST(AwsKeySource, WhenTheInstanceIsNotAsked) {
  for (const bool by_variable : {true, false}) {
    Cloud cloud(Instance);
    AwsKeySource source(
        cloud.With({{"AWS_EC2_METADATA_DISABLED", by_variable ? "true" : "false"}}));
    const auto keys = source.Find("r", by_variable ? kMayBeAsked : kIsLeftAlone);
    EXPECT_EQ(keys.status().code(), StatusCode::kNotFound);
    EXPECT_THAT(cloud.asked(), IsEmpty());
  }
  Cloud cloud(Instance);
  AwsKeySource alone(cloud.With({}, Surroundings::kNone));
  EXPECT_EQ(alone.Find("r", kMayBeAsked).status().code(), StatusCode::kNotFound);
  EXPECT_THAT(cloud.asked(), IsEmpty());
}

TEST(AwsKeySource, TellsAllThatItLookedAt) {
  Cloud cloud(Nobody);
  AwsKeySource source(cloud.With({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://meta:1/"}}));
  const Status status = source.Find("r", kMayBeAsked).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(Describe(status),
              AllOf(HasSubstr("AWS_ACCESS_KEY_ID"), HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"),
                    HasSubstr("no profile \"default\""), HasSubstr("container"),
                    HasSubstr("service http://meta:1 does not answer")));
  const size_t asked = cloud.asked().size();
  EXPECT_FALSE(source.Find("r", kMayBeAsked).ok());
  EXPECT_EQ(cloud.asked().size(), asked) << "nobody is asked for a while";
}

}  // namespace
}  // namespace starling::credentials
