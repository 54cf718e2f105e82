#include "registry/hosts_directory.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/manual_clock.h"

namespace starling::registry {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

class HostsDirectoryTest : public testing::Test {
 protected:
  void Write(const fs::path& file, std::string_view text) {
    fs::create_directories((root_.path() / file).parent_path());
    std::ofstream(root_.path() / file) << text;
  }
  StatusOr<std::vector<RegistryHost>> HostsOf(const std::string& domain) {
    return directory_.HostsOf(domain, domain == "docker.io" ? "registry-1.docker.io" : domain, {});
  }

  TempDir root_ = *TempDir::Make("/tmp", "hosts");
  testing_support::ManualClock clock_;
  HostsDirectory directory_{{root_.path() / "first", root_.path()}, clock_};
};

TEST_F(HostsDirectoryTest, WithoutADirectoryARegistryIsWhereItsNameSays) {
  const struct {
    std::string domain;
    std::string_view api;
  } cases[] = {
      {"ghcr.io", "https://ghcr.io/v2"},
      {"docker.io", "https://registry-1.docker.io/v2"},
      {"127.0.0.1:5000", "http://127.0.0.1:5000/v2"},
  };
  for (const auto& c : cases) {
    const auto hosts = HostsOf(c.domain);
    ASSERT_TRUE(hosts.ok()) << hosts.status();
    ASSERT_EQ(hosts->size(), 1U);
    EXPECT_EQ(hosts->front().api.text(), c.api);
    EXPECT_FALSE(hosts->front().is_mirror);
    EXPECT_EQ(hosts->front().connection, nullptr);
  }
}

TEST_F(HostsDirectoryTest, FindsTheDirectoryAsContainerdDoes) {
  Write("reg.example_5000_/hosts.toml", "[host.'http://port']");
  Write("reg.example:5000/hosts.toml", "[host.'http://colon']");
  Write("_default/hosts.toml", "[host.'http://default']");
  Write("first/both.example/hosts.toml", "[host.'http://first']");
  Write("both.example/hosts.toml", "[host.'http://second']");
  EXPECT_EQ(HostsOf("reg.example:5000")->front().name(), "port");
  EXPECT_EQ(HostsOf("other.example")->front().name(), "default");
  EXPECT_EQ(HostsOf("both.example")->front().name(), "first");
}

TEST_F(HostsDirectoryTest, AMirrorIsToldWhichRegistryIsMeantAndAServerIsNot) {
  Write("docker.io/hosts.toml",
        "server = 'https://registry-1.docker.io'\n[host.'http://127.0.0.1:5000']\n");
  const auto hub = HostsOf("docker.io");
  ASSERT_TRUE(hub.ok()) << hub.status();
  ASSERT_EQ(hub->size(), 2U);
  EXPECT_TRUE(hub->at(0).is_mirror);
  EXPECT_FALSE(hub->at(1).is_mirror);

  Write("a.example/hosts.toml", "server = 'https://b.example'");
  EXPECT_TRUE(HostsOf("a.example")->back().is_mirror) << "another name than the reference's";
}

TEST_F(HostsDirectoryTest, ReadsCertificatesFromTheDirectory) {
  Write("a.example/hosts.toml", "ca = 'ca.pem'\nclient = [['c.pem', 'k.pem']]\ndial_timeout='2s'");
  Write("a.example/ca.pem", kPem);
  Write("a.example/c.pem", kPem);
  Write("a.example/k.pem", kPem);
  const auto hosts = HostsOf("a.example");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  const auto& connection = hosts->front().connection;
  ASSERT_NE(connection, nullptr);
  EXPECT_EQ(connection->trusted_pem, std::string(kPem) + "\n");
  EXPECT_EQ(connection->client_certificate, root_.path() / "a.example/c.pem");
  EXPECT_EQ(connection->client_key, root_.path() / "a.example/k.pem");
  EXPECT_TRUE(connection->verify);
  EXPECT_EQ(connection->connect_timeout, std::chrono::seconds(2));
}

TEST_F(HostsDirectoryTest, KnowsDockersLayout) {
  Write("a.example/one.crt", kPem);
  Write("a.example/client.cert", kPem);
  Write("a.example/client.key", kPem);
  const auto hosts = HostsOf("a.example");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  ASSERT_NE(hosts->front().connection, nullptr);
  EXPECT_EQ(hosts->front().connection->client_key, root_.path() / "a.example/client.key");
  EXPECT_FALSE(hosts->front().connection->trusted_pem.empty());

  Write("b.example/client.cert", kPem);
  Write("b.example/other.cert", kPem);
  EXPECT_EQ(HostsOf("b.example").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(HostsDirectoryTest, SaysWhatIsWrong) {
  const struct {
    std::string domain;
    std::string_view text;
    std::string_view want;
  } cases[] = {
      {"a.example", "server = 1", "a.example/hosts.toml:1:10: server must be a text"},
      {"b.example", "ca = 'missing.pem'", "b.example/missing.pem"},
      {"c.example", "ca = 'hosts.toml'", "c.example/hosts.toml: holds no certificate"},
      {"d.example", "client = 'missing.pem'", "d.example/missing.pem"},
  };
  for (const auto& c : cases) {
    Write(fs::path(c.domain) / "hosts.toml", c.text);
    const Status status = HostsOf(c.domain).status();
    EXPECT_FALSE(status.ok());
    EXPECT_NE(MessageOf(status).find(c.want), std::string::npos) << status;
  }
}

TEST_F(HostsDirectoryTest, SeesChangesWithinSeconds) {
  EXPECT_EQ(HostsOf("a.example")->size(), 1U);
  Write("a.example/hosts.toml", "[host.mirror]");
  EXPECT_EQ(HostsOf("a.example")->size(), 1U) << "not read for every request";
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(HostsOf("a.example")->size(), 2U);
  fs::remove_all(root_.path() / "a.example");
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(HostsOf("a.example")->size(), 1U);
}

}  // namespace
}  // namespace starling::registry
