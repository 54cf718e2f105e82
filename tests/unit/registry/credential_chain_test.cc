#include "registry/credential_chain.h"

#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

const CredentialRequest kImage{.registry = "a.example", .repository = "b"};

TEST(CredentialChain, TheFirstThatHasSomeDecides) {
  FakeCredentials none(MakeError(StatusCode::kNotFound, "not logged in"));
  FakeCredentials broken(MakeError(StatusCode::kInvalidArgument, "line 3"));
  FakeCredentials one(Credentials{.username = "one", .password = "1"});
  FakeCredentials two(Credentials{.username = "two", .password = "2"});
  CredentialChain chain({&none, &broken, &one, &two});
  const auto found = chain.Find(kImage);
  EXPECT_EQ(found.credentials.username, "one");
  EXPECT_EQ(found.source, "fake source");
  EXPECT_EQ(found.tried,
            "fake source has none: not logged in; fake source failed: line 3; fake source gave "
            "some");
  EXPECT_EQ(two.asked, 0);
}

TEST(CredentialChain, SaysWhyThereAreNone) {
  FakeCredentials none(MakeError(StatusCode::kNotFound, "not logged in"));
  EXPECT_EQ(CredentialChain({&none}).Find(kImage).tried, "fake source has none: not logged in");
  EXPECT_EQ(CredentialChain({}).Find(kImage).tried, "no source has credentials for a.example");
  EXPECT_TRUE(CredentialChain({&none}).Find(kImage).credentials.anonymous());
  EXPECT_EQ(CredentialChain({&none}).Find(kImage).source, "");
}

TEST(CredentialChain, KeepsQuietAboutSourcesOfOtherRegistries) {
  FakeCredentials elsewhere(MakeError(StatusCode::kNotFound, ""));
  FakeCredentials none(MakeError(StatusCode::kNotFound, "not logged in"));
  EXPECT_EQ(CredentialChain({&elsewhere, &none, &elsewhere}).Find(kImage).tried,
            "fake source has none: not logged in");
}

TEST(CredentialChain, PassesOverWhatWasRefusedWhileThereIsMore) {
  FakeCredentials one(Credentials{.username = "one", .password = "1"});
  FakeCredentials two(Credentials{.username = "two", .password = "2"});
  CredentialChain chain({&one, &two});
  chain.Refused(kImage, chain.Find(kImage).credentials);
  EXPECT_EQ(one.refused, 1);
  const auto second = chain.Find(kImage);
  EXPECT_EQ(second.credentials.username, "two");
  EXPECT_EQ(second.tried, "fake source gave some, which were refused; fake source gave some");
  EXPECT_EQ(chain.Find({.registry = "a.example", .repository = "other"}).credentials.username,
            "one")
      << "another repository";
  chain.Refused(kImage, second.credentials);
  EXPECT_EQ(chain.Find(kImage).credentials.username, "one") << "better than none";
  EXPECT_EQ(chain.Find(kImage).tried, "fake source gave some") << "all may be tried again";
}

TEST(CredentialChain, RemembersAFewRefusalsOnly) {
  FakeCredentials one(Credentials{.username = "one", .password = "1"});
  CredentialChain chain({&one});
  chain.Refused(kImage, {.username = "one", .password = "1"});
  for (int i = 0; i < 5; ++i) {
    chain.Refused(kImage, {.username = "other", .password = std::to_string(i)});
  }
  EXPECT_EQ(chain.Find(kImage).tried, "fake source gave some");
}

}  // namespace
}  // namespace starling::registry
