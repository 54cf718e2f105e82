#include "registry/registry_host.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(RegistryHost, IsCalledAsCredentialsAreKeptForIt) {
  const struct {
    std::string_view api;
    std::string_view want;
  } cases[] = {
      {"https://ghcr.io/v2", "ghcr.io"},         {"https://ghcr.io:443/v2", "ghcr.io"},
      {"https://Mirror:5000/v2", "mirror:5000"}, {"http://mirror/v2", "mirror"},
      {"http://mirror:443/v2", "mirror:443"},    {"http://[::1]:5000/v2", "[::1]:5000"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ((RegistryHost{.api = *Url::Parse(c.api), .headers = {}, .connection = {}}).name(),
              c.want);
  }
}

TEST(ConnectionFor, GivesAnotherHostTrustAlone) {
  const Url registry = *Url::Parse("https://registry.example:5000/v2");
  const Url same_host = *Url::Parse("https://registry.example/token");
  const Url other = *Url::Parse("https://storage.example/x");
  const auto all = std::make_shared<const ConnectionOptions>(
      ConnectionOptions{.trusted_pem = "pem",
                        .client_certificate = "/cert",
                        .client_key = "/key",
                        .verify = false,
                        .connect_timeout = std::chrono::seconds(1)});
  EXPECT_EQ(ConnectionFor(registry, all, registry), all);
  EXPECT_EQ(ConnectionFor(registry, all, same_host), all);
  const auto elsewhere = ConnectionFor(registry, all, other);
  ASSERT_NE(elsewhere, nullptr);
  EXPECT_EQ(*elsewhere, ConnectionOptions{.trusted_pem = "pem"});

  const auto insecure =
      std::make_shared<const ConnectionOptions>(ConnectionOptions{.verify = false});
  EXPECT_EQ(ConnectionFor(registry, insecure, other), nullptr);
  EXPECT_EQ(ConnectionFor(registry, nullptr, other), nullptr);
}

}  // namespace
}  // namespace starling::registry
