// TLS and HTTP/2, against Debian's docker-registry with a certificate of the test's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "base/temp_dir.h"
#include "tests/integration/registry/world.h"
#include "tests/support/docker_registry.h"
#include "tests/support/test_server.h"

namespace starling::registry {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing_support::DockerRegistry;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestCertificate;
using testing_support::TestServer;

Status ReadTop(World& world, const std::string& address) {
  return world.client.Source(Name(address, "some/app:v1"))->ReadTopManifest().status();
}

TEST(Tls, MultiplexesEverythingOverOneConnection) {
  const TestCertificate certificate;
  const DockerRegistry registry({.certificate = &certificate});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const std::string address = registry.AddressAt(TestCertificate::kHost);
  World world({}, {}, {.ca_file = certificate.file()});
  PushAndPull(world, address);

  const oci::Descriptor layer = BlobOf(Pattern(5 << 20));
  const auto blob = world.client.Source(Name(address, "some/app:v1"))->BlobAt(layer);
  ASSERT_TRUE(blob.ok()) << blob.status();
  std::vector<std::future<StatusOr<Bytes>>> reads;
  for (uint64_t i = 0; i < 40; ++i) {
    reads.push_back(std::async(std::launch::async, [&blob, i] {
      return (*blob)->ReadAndWait({.blob_offset = i * 1000, .size_bytes = 1000});
    }));
  }
  for (auto& read : reads) {
    const auto bytes = read.get();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
  }
  EXPECT_EQ(world.client.Source(Name(address, "last/one:v1"))->ReadTopManifest().status().code(),
            StatusCode::kNotFound);

  const DockerRegistry::Traffic traffic = registry.TrafficUntil("last/one");
  EXPECT_GT(traffic.answers, 50u);
  EXPECT_THAT(traffic.protocols, ElementsAre("HTTP/2.0"));
  EXPECT_THAT(traffic.peers, SizeIs(1));
}

TEST(Tls, TrustsWhatTheEnvironmentNames) {
  const TestCertificate certificate;
  const DockerRegistry registry({.certificate = &certificate});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const ScopedVariable variable("SSL_CERT_FILE", certificate.file());
  World world;
  PushAndPull(world, registry.AddressAt(TestCertificate::kHost));
}

TEST(Tls, RefusesWhatItCannotVerifyOnce) {
  const TestCertificate certificate;
  const TestCertificate other;
  const DockerRegistry registry({.certificate = &certificate});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const struct {
    const char* name;
    std::string ca_file;
    const char* host;
    const char* want;
  } cases[] = {
      {"unknown authority", "", TestCertificate::kHost, "self-signed certificate"},
      {"another authority", other.file(), TestCertificate::kHost, "certificate"},
      {"another name", certificate.file(), "other.localhost", "other.localhost"},
      {"no such file", "/nowhere/ca.pem", TestCertificate::kHost, "/nowhere/ca.pem"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    World world({}, {}, {.ca_file = c.ca_file});
    const Status refused = ReadTop(world, registry.AddressAt(c.host));
    EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
    EXPECT_THAT(Describe(refused), AllOf(HasSubstr(c.want), HasSubstr("SSL_CERT_FILE")));
  }
  World world({}, {}, {.ca_file = certificate.file()});
  EXPECT_EQ(ReadTop(world, registry.AddressAt(TestCertificate::kHost)).code(),
            StatusCode::kNotFound);
  EXPECT_EQ(registry.TrafficUntil("some/app").peers.size(), 1u) << "of the last client alone";
  EXPECT_LE(registry.LogLines("remote error: tls"), 3u) << "nobody tried again";
}

TEST(Tls, HostsTomlSaysWhomToTrust) {
  const TestCertificate certificate;
  const DockerRegistry registry({.certificate = &certificate});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const std::string address = registry.AddressAt(TestCertificate::kHost);
  const struct {
    const char* name;
    std::string hosts;
    StatusCode want;
  } cases[] = {
      {"nothing", "", StatusCode::kPermissionDenied},
      {"its authority", fmt::format("ca = '{}'", certificate.file()), StatusCode::kNotFound},
      {"anybody", "skip_verify = true", StatusCode::kNotFound},
      {"a client certificate for nobody",
       fmt::format("ca = '{0}'\nclient = '{0}'", certificate.file()),
       StatusCode::kPermissionDenied},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto directory = TempDir::Make("/tmp", "hosts");
    ASSERT_TRUE(directory.ok());
    std::filesystem::create_directories(directory->path() / address);
    std::ofstream(directory->path() / address / "hosts.toml") << c.hosts;
    World world({}, {.max_retries = 0, .hosts_directories = {directory->path()}});
    const Status status = ReadTop(world, address);
    EXPECT_EQ(status.code(), c.want) << status;
  }
}

TEST(Tls, SendsNothingUnencryptedToAHostThatIsNotNamed) {
  const DockerRegistry registry({});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const std::string address = registry.AddressAt(TestCertificate::kHost);
  {
    World world;
    const Status refused = ReadTop(world, address);
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(Describe(refused), AllOf(HasSubstr("https://"), HasSubstr("plain HTTP")));
  }
  World world({}, {.plain_http_hosts = {TestCertificate::kHost}});
  PushAndPull(world, address);
}

TEST(Tls, NoRedirectLeadsToAHostThatIsNotNamed) {
  TestServer plain([](const ServedRequest&) { return ServedResponse{.body = "secret"}; });
  TestServer registry([&](const ServedRequest&) {
    return ServedResponse{
        .status = 307,
        .headers = {{"Location", "http://other.localhost:" + plain.address().substr(10) + "/x"}}};
  });
  World world;
  const auto blob = world.client.Source(Name(registry.address(), "a:b"))->BlobAt(BlobOf("secret"));
  const auto bytes = (*blob)->ReadAndWait({.blob_offset = 0, .size_bytes = 6});
  EXPECT_EQ(bytes.status().code(), StatusCode::kFailedPrecondition) << bytes.status();
  EXPECT_EQ(plain.connections(), 0);
}

}  // namespace
}  // namespace starling::registry
