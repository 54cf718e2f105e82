#include "credentials/variables.h"

#include <gtest/gtest.h>

#include <map>

namespace starling::credentials {
namespace {

std::string Show(const StatusOr<registry::Credentials>& found) {
  return found.ok() ? found->username + ":" + found->password : Describe(found.status());
}

TEST(LoginVariables, AreForOneRegistry) {
  const std::map<std::string, std::string> login = {{"REGISTRY_USERNAME", "u"},
                                                    {"REGISTRY_PASSWORD", "p"}};
  LoginVariables hub{Environment(login)};
  EXPECT_EQ(Show(hub.Find({"docker.io", "library/x"})), "u:p");
  EXPECT_EQ(hub.Find({"ghcr.io", "x"}).status().code(), StatusCode::kNotFound);
  LoginVariables named{Environment(login).With("REGISTRY_HOST", "r.example:5000")};
  EXPECT_EQ(Show(named.Find({"r.example:5000", "x"})), "u:p");
  EXPECT_EQ(named.Find({"docker.io", "x"}).status().code(), StatusCode::kNotFound);
  LoginVariables usual(Environment(login), "other.example");
  EXPECT_EQ(Show(usual.Find({"other.example", "x"})), "u:p");
  LoginVariables half{Environment().With("REGISTRY_PASSWORD", "p")};
  EXPECT_EQ(half.Find({"docker.io", "x"}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(LoginVariables(Environment()).Find({"docker.io", "x"}).status().code(),
            StatusCode::kNotFound);
}

TEST(TokenVariables, BelongToTheirRegistry) {
  TokenVariables all(Environment({{"GITHUB_TOKEN", "gh"}, {"NGC_API_KEY", "ngc"}}));
  EXPECT_EQ(Show(all.Find({"ghcr.io", "x"})), "x-access-token:gh");
  EXPECT_EQ(Show(all.Find({"nvcr.io", "x"})), "$oauthtoken:ngc");
  for (const char* host : {"docker.io", "evil.example", "ghcr.io.evil.example", "ghcr.io:444"}) {
    EXPECT_EQ(MessageOf(all.Find({host, "x"}).status()), "") << host;
  }
  TokenVariables other(Environment({{"GH_TOKEN", "gh"}, {"GITHUB_ACTOR", "me"}}));
  EXPECT_EQ(Show(other.Find({"ghcr.io", "x"})), "me:gh");
  EXPECT_EQ(MessageOf(other.Find({"nvcr.io", "x"}).status()),
            "neither NGC_API_KEY nor NGC_CLI_API_KEY is set");
}

}  // namespace
}  // namespace starling::credentials
