#include "registry/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;

TEST(Client, AsksTheRightHostForAManifest) {
  const std::string manifest = R"({"schemaVersion":2})";
  Harness harness([&](const HttpRequest&) {
    return Answer(200, manifest,
                  {{"Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"}});
  });
  const auto read = harness.Source("ubuntu")->ReadTopManifest();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->media_type, "application/vnd.oci.image.manifest.v1+json");
  EXPECT_EQ(read->digest, oci::Digest::Of(AsBytes(manifest)));
  const auto requests = harness.transport.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].url, "https://registry-1.docker.io/v2/library/ubuntu/manifests/latest");
  EXPECT_THAT(FakeTransport::HeaderOf(requests[0], "Accept"),
              testing::AllOf(HasSubstr("image.index.v1"), HasSubstr("manifest.list.v2")));
}

TEST(Client, ChecksDigestsOfManifests) {
  Harness harness([](const HttpRequest& request) {
    if (request.url.ends_with("/announced")) {
      return Answer(200, "{}",
                    {{"Docker-Content-Digest", oci::Digest::Of(AsBytes("other")).ToString()}});
    }
    return Answer(200, "{}");
  });
  EXPECT_EQ(harness.Source("a.example/b:announced")->ReadTopManifest().status().code(),
            StatusCode::kDataLoss);
  const std::string by_digest =
      "a.example/b@" + oci::Digest::Of(AsBytes("something else")).ToString();
  EXPECT_EQ(harness.Source(by_digest)->ReadTopManifest().status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(harness.Source("a.example/b")
                ->ReadManifest({.digest = oci::Digest::Of(AsBytes("{}")), .size_bytes = 3})
                .status()
                .code(),
            StatusCode::kDataLoss);
}

TEST(Client, SpeaksPlainHttpToLoopbackAndListedHostsOnly) {
  Harness harness([](const HttpRequest&) { return Answer(200, "{}"); }, {},
                  {.plain_http_hosts = {"plain.example:80", "other.example"}});
  const struct {
    const char* image;
    const char* want;
  } cases[] = {
      {"127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a/manifests/latest"},
      {"localhost:5000/a", "http://localhost:5000/v2/a/manifests/latest"},
      {"other.example:81/a", "http://other.example:81/v2/a/manifests/latest"},
      {"plain.example:81/a", "https://plain.example:81/v2/a/manifests/latest"},
      {"10.0.0.1:5000/a", "https://10.0.0.1:5000/v2/a/manifests/latest"},
  };
  for (const auto& c : cases) {
    ASSERT_TRUE(harness.Source(c.image)->ReadTopManifest().ok());
    EXPECT_EQ(harness.transport.requests().back().url, c.want);
  }
}

}  // namespace
}  // namespace starling::registry
