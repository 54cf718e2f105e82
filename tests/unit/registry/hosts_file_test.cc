#include "registry/hosts_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::registry {
namespace {

using testing::ElementsAre;

std::vector<HostEntry> MustParse(std::string_view text) {
  auto parsed = ParseHostsFile(text, "h");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *std::move(parsed) : std::vector<HostEntry>();
}

TEST(ParseHostsFile, ReadsEveryKeyInTheOrderOfTheFile) {
  const auto hosts = MustParse(R"(
server = "https://registry.example"
skip_verify = true

[host."https://zzz.example:5000/"]
  capabilities = ["pull", "resolve"]
  ca = "ca.pem"
  client = [["client.cert", "client.key"]]
  dial_timeout = "1.5s"
  [host."https://zzz.example:5000/".header]
    x-one = "1"
    x-two = ["2", "3"]

[host."aaa.example/sub/path"]
  capabilities = ["push", "referrers"]
  ca = ["/etc/a.pem", "b.pem"]
  client = "both.pem"

[host."http://127.0.0.1:5000/v2/proxy"]
  override_path = true
  skip_verify = false
)");
  ASSERT_EQ(hosts.size(), 4U);
  EXPECT_EQ(hosts[0].api->text(), "https://zzz.example:5000/v2");
  EXPECT_TRUE(hosts[0].can_pull && hosts[0].can_resolve && !hosts[0].can_push);
  EXPECT_THAT(hosts[0].ca, ElementsAre("ca.pem"));
  EXPECT_EQ(hosts[0].client_certificate, "client.cert");
  EXPECT_EQ(hosts[0].client_key, "client.key");
  EXPECT_EQ(hosts[0].dial_timeout, std::chrono::milliseconds(1500));
  ASSERT_EQ(hosts[0].headers.size(), 3U);
  EXPECT_EQ(hosts[0].headers[2].name, "x-two");
  EXPECT_EQ(hosts[0].headers[2].value, "3");

  EXPECT_EQ(hosts[1].api->text(), "https://aaa.example/sub/path/v2");
  EXPECT_TRUE(!hosts[1].can_pull && !hosts[1].can_resolve && hosts[1].can_push);
  EXPECT_THAT(hosts[1].ca, ElementsAre("/etc/a.pem", "b.pem"));
  EXPECT_EQ(hosts[1].client_certificate, "both.pem");
  EXPECT_EQ(hosts[1].client_key, "both.pem");

  EXPECT_EQ(hosts[2].api->text(), "http://127.0.0.1:5000/v2/proxy");
  EXPECT_FALSE(hosts[2].skip_verify);

  EXPECT_EQ(hosts[3].api->text(), "https://registry.example/v2");
  EXPECT_TRUE(hosts[3].skip_verify && hosts[3].can_pull && hosts[3].can_push);
}

TEST(ParseHostsFile, WithoutServerTheLastHostIsTheRegistryItself) {
  const auto nothing = MustParse("");
  ASSERT_EQ(nothing.size(), 1U);
  EXPECT_FALSE(nothing[0].api.has_value());

  const auto trusted = MustParse("ca = 'ca.crt'\n[host.mirror]\n");
  ASSERT_EQ(trusted.size(), 2U);
  EXPECT_EQ(trusted[0].api->text(), "https://mirror/v2");
  EXPECT_FALSE(trusted[1].api.has_value());
  EXPECT_THAT(trusted[1].ca, ElementsAre("ca.crt"));
}

TEST(ParseHostsFile, ReadsTheFormsOfClientCertificates) {
  const struct {
    std::string_view text;
    std::string_view certificate;
    std::string_view key;
  } cases[] = {
      {"client = 'a'", "a", "a"},
      {"client = ['a']", "a", "a"},
      {"client = [['a']]", "a", "a"},
      {"client = [['a', 'b']]", "a", "b"},
  };
  for (const auto& c : cases) {
    const auto hosts = MustParse(c.text);
    ASSERT_EQ(hosts.size(), 1U) << c.text;
    EXPECT_EQ(hosts[0].client_certificate, c.certificate) << c.text;
    EXPECT_EQ(hosts[0].client_key, c.key) << c.text;
  }
}

TEST(ParseHostsFile, SaysWhereAMistakeIs) {
  const struct {
    std::string_view text;
    std::string_view want;
  } cases[] = {
      {"server = ", "h:1:"},
      {"\nserver = 1", "h:2:10: server must be a text"},
      {"server = 'ftp://x y'", "h:1:10: \"https://ftp://x y\" is not the address"},
      {"server = 'https://user:secret@x'", "h:1:10: an address with a user name"},
      {"server = 'https://x?y'", "h:1:10: "},
      {"capabilities = ['pull', 'fetch']", "h:1:16: unknown capability \"fetch\""},
      {"capability = ['pull']", "h:1:14: unknown key \"capability\""},
      {"ca = [1]", "h:1:7: ca must be a text"},
      {"ca = \"a\\u0000b\"", "h:1:6: ca holds control characters"},
      {"client = ['a', 'b']", "h:1:10: client: give one certificate"},
      {"client = [['a', 'b', 'c']]", "h:1:11: client: a pair is"},
      {"client = []", "h:1:10: client: give one certificate"},
      {"skip_verify = 'yes'", "h:1:15: skip_verify must be true or false"},
      {"dial_timeout = '5'", "h:1:16: dial_timeout must be a time"},
      {"dial_timeout = '-1s'", "h:1:16: dial_timeout"},
      {"dial_timeout = '1e300h'", "h:1:16: dial_timeout"},
      {"dial_timeout = 'nans'", "h:1:16: dial_timeout"},
      {"header = 1", "h:1:10: header must be a table"},
      {"[header]\n\"a b\" = '1'", "h:2:9: \"a b\" is no name of a header"},
      {"[header]\na = \"1\\r\\nb: 2\"", "h:2:5: a holds control characters"},
      {"host = 1", "h:1:8: host must be tables"},
      {"[host]\nx = 1", "h:2:5: host must be tables"},
      {"[host.x]\nserver = 'y'", "h:2:10: server belongs to the top"},
      {"[host.'a b']", "h:1:1: \"https://a b\" is not the address"},
  };
  for (const auto& c : cases) {
    const Status status = ParseHostsFile(c.text, "h").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.text;
    EXPECT_TRUE(MessageOf(status).starts_with(c.want)) << c.text << "\n" << status;
    EXPECT_EQ(MessageOf(status).find("secret"), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace starling::registry
