// Through the proxies that the environment names, as curl and Go's programs read them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/registry/world.h"
#include "tests/support/docker_registry.h"

namespace starling::registry {
namespace {

using testing::Contains;
using testing::IsEmpty;
using testing::StartsWith;
using testing_support::DockerRegistry;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestCertificate;
using testing_support::TestServer;

/// A name that only a proxy can know.
constexpr const char* kFarAway = "registry.invalid";

TEST(Proxy, IsAskedForPlainHttp) {
  const std::string content = Pattern(100000);
  TestServer proxy([&](const ServedRequest& request) { return ServeRange(content, request); });
  const ScopedVariable variable("http_proxy", "http://me:word@" + proxy.address());
  World world({}, {.plain_http_hosts = {kFarAway}});
  const auto opened = world.client.Source(Name(kFarAway, "a:b"))->OpenBlob(BlobOf(content), 100);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), std::string_view(content).substr(content.size() - 100));
  ASSERT_FALSE(proxy.requests().empty());
  for (const ServedRequest& request : proxy.requests()) {
    EXPECT_THAT(request.target, StartsWith(std::string("http://") + kFarAway + "/v2/a/blobs/"));
    EXPECT_EQ(request.Header("proxy-authorization"), "Basic bWU6d29yZA==");
  }
}

TEST(Proxy, PassesEncryptedBytesOnAndSeesNoCredentials) {
  const TestCertificate certificate;
  const DockerRegistry registry({.wants_password = true, .certificate = &certificate});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const std::string address = registry.AddressAt(TestCertificate::kHost);
  const auto port = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  TestServer proxy([&](const ServedRequest& request) {
    return request.method == "CONNECT" ? ServedResponse{.tunnel_to_port = port}
                                       : ServedResponse{.status = 405};
  });
  const ScopedVariable variable("HTTPS_PROXY", proxy.url());
  FixedCredentials credentials({.username = "user", .password = "secret"});
  World world({&credentials}, {}, {.ca_file = certificate.file()});
  PushAndPull(world, address);
  ASSERT_FALSE(proxy.requests().empty());
  for (const ServedRequest& request : proxy.requests()) {
    EXPECT_EQ(request.method, "CONNECT");
    EXPECT_EQ(request.target, address);
    EXPECT_THAT(request.Header("authorization"), IsEmpty());
  }
}

TEST(Proxy, IsLeftOutForHostsOfNoProxy) {
  const std::string content = Pattern(1000);
  TestServer proxy([](const ServedRequest&) { return ServedResponse{.status = 500}; });
  TestServer registry([&](const ServedRequest& request) { return ServeRange(content, request); });
  const ScopedVariable variable("http_proxy", proxy.url());
  for (const char* list : {"127.0.0.1", "other.example,127.0.0.1", "*"}) {
    const ScopedVariable direct("no_proxy", list);
    World world;
    BytesSink sink;
    const Status read =
        world.client.Source(Name(registry.address(), "a:b"))->ReadBlob(BlobOf(content), sink);
    EXPECT_TRUE(read.ok()) << list << ": " << read;
  }
  EXPECT_THAT(proxy.requests(), IsEmpty());
}

TEST(Proxy, ThatIsAwayIsNamed) {
  const ScopedVariable variable("http_proxy", "http://127.0.0.1:1");
  World world({}, {.plain_http_hosts = {kFarAway}, .max_retries = 0});
  const Status read = world.client.Source(Name(kFarAway, "a:b"))->ReadTopManifest().status();
  EXPECT_THAT(Describe(read),
              testing::AllOf(testing::HasSubstr(kFarAway),
                             testing::HasSubstr("the environment's proxy: Failed to connect"),
                             testing::HasSubstr("check HTTP_PROXY")));
}

}  // namespace
}  // namespace starling::registry
