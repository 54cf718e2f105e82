#include "registry/refused_credentials.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

const CredentialRequest kApp{.registry = "r", .repository = "app"};
const CredentialRequest kOther{.registry = "r", .repository = "other"};

Credentials Login(int number) { return {.username = "me", .password = std::to_string(number)}; }

TEST(RefusedCredentials, AreKnownForTheirRepository) {
  RefusedCredentials refused(2);
  refused.Add(kApp, Login(1));
  EXPECT_TRUE(refused.Contains(kApp, Login(1)));
  EXPECT_FALSE(refused.Contains(kApp, Login(2)));
  EXPECT_FALSE(refused.Contains(kOther, Login(1)));
  refused.Forget(kApp);
  EXPECT_FALSE(refused.Contains(kApp, Login(1)));
}

TEST(RefusedCredentials, AreBounded) {
  RefusedCredentials refused(2);
  for (int number = 1; number <= 3; ++number) {
    refused.Add(kApp, Login(number));
  }
  EXPECT_FALSE(refused.Contains(kApp, Login(1)));
  EXPECT_TRUE(refused.Contains(kApp, Login(2)));
  EXPECT_TRUE(refused.Contains(kApp, Login(3)));
  for (size_t number = 0; number < RefusedCredentials::kMaxRepositories; ++number) {
    refused.Add({.registry = "r", .repository = std::to_string(number)}, Login(1));
  }
  EXPECT_FALSE(refused.Contains(kApp, Login(3)));
}

}  // namespace
}  // namespace starling::registry
