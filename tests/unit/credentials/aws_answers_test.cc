#include "credentials/aws_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hex.h"

namespace starling::credentials {
namespace {

using std::chrono::system_clock;
using testing::HasSubstr;
using testing::Not;

TEST(ParseEnd, ReadsTimesOfAws) {
  const struct {
    const char* text;
    time_t want;  // -1: refused
  } cases[] = {
      {"2015-08-30T12:36:00Z", 1440938160},
      {"2015-08-30T12:36:00.999Z", 1440938160},
      {"1970-01-01T00:00:00Z", 0},
      {"2015-08-30T12:36:00", -1},
      {"2015-08-30T12:36:00+02:00", 1440930960},
      {"2015-02-30T12:36:00Z", -1},
      {"2015-08-30T24:00:00Z", -1},
      {"2015-08-30T12:36:00.Z", -1},
      {"2015-08-30T12:36:00.1xZ", -1},
      {"9999-08-30T12:36:00Z", -1},
      {"2015-8-30T12:36:00ZZZZ", -1},
      {"", -1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto time = ParseEnd(c.text);
    EXPECT_EQ(time.ok() ? system_clock::to_time_t(*time) : -1, c.want);
  }
}

TEST(ParseAwsKeys, ReadsMetadata) {
  const auto found = ParseAwsKeys(AsBytes(
      R"({"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2026-01-01T06:00:00Z"})"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->keys.access_key_id, "A");
  EXPECT_EQ(found->keys.secret_access_key, "S");
  EXPECT_EQ(found->keys.session_token, "T");
  EXPECT_EQ(system_clock::to_time_t(found->expires_at), 1767247200);
}

TEST(ParseAwsKeys, RefusesOthersWithoutTelling) {
  for (const char* text :
       {"", "[]", "{}", R"({"Code":"Failed","SecretAccessKey":"hunter2"})",
        R"({"AccessKeyId":"A","SecretAccessKey":"hunter2"})",
        R"({"AccessKeyId":"A\n","SecretAccessKey":"hunter2","Expiration":"2026-01-01T06:00:00Z"})",
        R"({"AccessKeyId":"A","SecretAccessKey":"hunter2 x","Expiration":"2026-01-01T06:00:00Z"})",
        R"({"AccessKeyId":1,"SecretAccessKey":"hunter2","Expiration":"2026-01-01T06:00:00Z"})"}) {
    SCOPED_TRACE(text);
    const Status status = ParseAwsKeys(AsBytes(text)).status();
    EXPECT_EQ(status.code(), StatusCode::kUnauthenticated);
    EXPECT_THAT(Describe(status), Not(HasSubstr("hunter2")));
  }
}

TEST(ParseStsAnswer, FindsTheKeys) {
  const auto found = ParseStsAnswer(AsBytes(
      "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><Arn>x</Arn></AssumedRoleUser>"
      "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
      "<SessionToken>T</SessionToken><Expiration>2026-01-01T06:00:00Z</Expiration></Credentials>"
      "</AssumeRoleResult></AssumeRoleResponse>"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->keys.access_key_id + found->keys.secret_access_key + found->keys.session_token,
            "AST");
  for (const char* text : {"", "<Credentials>", "<Credentials></Credentials>",
                           "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>"}) {
    EXPECT_FALSE(ParseStsAnswer(AsBytes(text)).ok()) << text;
  }
}

TEST(StsErrorWords, AreCodeAndMessage) {
  EXPECT_EQ(StsErrorWords(AsBytes("<ErrorResponse><Error><Code>AccessDenied</Code>"
                                  "<Message>Not\nyou</Message></Error></ErrorResponse>")),
            "AccessDenied: Not?you");
  EXPECT_EQ(StsErrorWords(AsBytes("<html>")), "");
}

TEST(ParseEcrLogin, ReadsBothRegistries) {
  const std::string token = Base64Encode(AsBytes("AWS:pw"));
  for (const std::string& text :
       {fmt::format(
            R"({{"authorizationData":[{{"authorizationToken":"{}","expiresAt":1.7672688E9}}]}})",
            token),
        fmt::format(
            R"({{"authorizationData":{{"authorizationToken":"{}","expiresAt":1767268800.25}}}})",
            token)}) {
    SCOPED_TRACE(text);
    const auto login = ParseEcrLogin(AsBytes(text));
    ASSERT_TRUE(login.ok()) << login.status();
    EXPECT_EQ(login->username, "AWS");
    EXPECT_EQ(login->password, "pw");
    EXPECT_EQ(system_clock::to_time_t(login->expires_at), 1767268800);
  }
}

TEST(ParseEcrLogin, RefusesOthersWithoutTelling) {
  const auto answer = [](const std::string& login, const std::string& expiry) {
    return fmt::format(R"({{"authorizationData":[{{"authorizationToken":"{}","expiresAt":{}}}]}})",
                       Base64Encode(AsBytes(login)), expiry);
  };
  for (const std::string& text :
       {std::string("{}"), std::string(R"({"authorizationData":[]})"), answer("hunter2", "1e9"),
        answer(":hunter2", "1e9"), answer("AWS:", "1e9"), answer("AWS:hunter2\r\n", "1e9"),
        answer("AWS:hunter2", "\"soon\""), answer("AWS:hunter2", "-1"),
        answer("AWS:hunter2", "1e300")}) {
    SCOPED_TRACE(text);
    const Status status = ParseEcrLogin(AsBytes(text)).status();
    EXPECT_EQ(status.code(), StatusCode::kUnauthenticated);
    EXPECT_THAT(Describe(status), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace starling::credentials
