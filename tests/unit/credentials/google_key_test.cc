#include "credentials/google_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::credentials {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ParseGoogleKey, ReadsBothKinds) {
  const auto account = ParseGoogleKey(AsBytes(
      R"({"type":"service_account","client_email":"e","private_key":"k","private_key_id":"i"})"));
  ASSERT_TRUE(account.ok()) << account.status();
  const auto& machine = std::get<GoogleServiceAccount>(*account);
  EXPECT_EQ(machine.client_email + machine.private_key + machine.private_key_id, "eki");
  EXPECT_EQ(machine.token_uri, "https://oauth2.googleapis.com/token");
  const auto user = ParseGoogleKey(AsBytes(
      R"({"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r",
          "token_uri":"http://127.0.0.1:8/t"})"));
  ASSERT_TRUE(user.ok()) << user.status();
  const auto& person = std::get<GoogleUser>(*user);
  EXPECT_EQ(person.client_id + person.client_secret + person.refresh_token, "csr");
  EXPECT_EQ(person.token_uri, "http://127.0.0.1:8/t");
}

TEST(ParseGoogleKey, SaysWhatIsMissingButNoSecret) {
  const struct {
    const char* json;
    const char* want;
  } cases[] = {
      {"hunter2", "not JSON"},
      {"[]", "not a JSON object"},
      {R"({"private_key":"hunter2"})", "\"type\""},
      {R"({"type":"service_account","private_key":"hunter2"})", "\"client_email\""},
      {R"({"type":"service_account","client_email":"e","private_key":["hunter2"]})",
       "\"private_key\""},
      {R"({"type":"authorized_user","client_id":"c","client_secret":"hunter2"})",
       "\"refresh_token\""},
      {R"({"type":"external_account","token_url":"hunter2"})", "\"external_account\""},
      {R"({"type":"service_account","client_email":"e","private_key":"hunter2",
           "token_uri":"http://evil.example/"})",
       "not https"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.json);
    EXPECT_THAT(Describe(ParseGoogleKey(AsBytes(c.json)).status()),
                AllOf(HasSubstr(c.want), Not(HasSubstr("hunter2"))));
  }
}

}  // namespace
}  // namespace starling::credentials
