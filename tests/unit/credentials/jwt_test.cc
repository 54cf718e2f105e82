#include "credentials/jwt.h"

#include <gtest/gtest.h>

#include "tests/unit/credentials/rsa_key.h"

namespace starling::credentials {
namespace {

TEST(Base64UrlEncode, IsThatOfTokens) {
  EXPECT_EQ(Base64UrlEncode(AsBytes("")), "");
  EXPECT_EQ(Base64UrlEncode(AsBytes("\xfb\xff\xfe")), "-__-");
  EXPECT_EQ(Base64UrlEncode(AsBytes("a")), "YQ");
}

TEST(SignRs256, TheOwnerOfThePublicKeyAgrees) {
  const RsaKey key;
  const auto token = SignRs256(R"({"alg":"RS256"})", R"({"iss":"me"})", key.pem());
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_TRUE(key.Verifies(*token));
  EXPECT_FALSE(RsaKey().Verifies(*token));
  EXPECT_EQ(ClaimsOf(*token), R"({"iss":"me"})");
  EXPECT_TRUE(token->starts_with("eyJhbGciOiJSUzI1NiJ9."));
}

TEST(SignRs256, RefusesOtherKeys) {
  const std::string pem = RsaKey().pem();
  for (const std::string& bad : {std::string(), std::string("hunter2"), pem.substr(0, 200),
                                 RsaKey(1024).pem(), std::string(100'000, 'x')}) {
    const Status status = SignRs256("{}", "{}", bad).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(Describe(status).find("hunter2"), std::string::npos);
  }
}

}  // namespace
}  // namespace starling::credentials
