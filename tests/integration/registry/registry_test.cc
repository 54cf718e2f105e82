// The client and the transport against Debian's docker-registry, and against servers that
// misbehave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <map>

#include "base/hex.h"
#include "base/temp_dir.h"
#include "credentials/docker_config.h"
#include "registry/referrers.h"
#include "tests/integration/registry/world.h"
#include "tests/support/docker_registry.h"
#include "tests/support/test_server.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;
using testing_support::DockerRegistry;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestServer;

TEST(DockerRegistry, StoresAndServesAnImage) {
  DockerRegistry registry({});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  World world;
  PushAndPull(world, registry.address());
  const Status missing =
      world.client.Source(Name(registry.address(), "some/app:none"))->ReadTopManifest().status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_THAT(Describe(missing), testing::AllOf(HasSubstr("MANIFEST_UNKNOWN"),
                                                HasSubstr("some/app"), HasSubstr("check")));
}

TEST(DockerRegistry, KeepsReferrersUnderATag) {
  DockerRegistry registry({});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  World world;
  PushAndPull(world, registry.address());
  const auto top = world.client.Source(Name(registry.address(), "some/app:v1"))->ReadTopManifest();
  ASSERT_TRUE(top.ok()) << top.status();
  const oci::Descriptor image{
      .media_type = top->media_type, .digest = top->digest, .size_bytes = top->bytes.size()};
  const auto referrers = world.client.ReferrersIn(Name(registry.address(), "some/app"));
  constexpr std::string_view kType = "application/vnd.test.v1+json";
  const auto none = referrers->List(image.digest, kType);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
  for (const std::string created : {"2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"}) {
    const auto attached =
        referrers->Attach(image, {.type = std::string(kType),
                                  .parts = {{.content = ToBytes("made " + created)}},
                                  .annotations = {{std::string(kCreatedAnnotation), created}}});
    ASSERT_TRUE(attached.ok()) << attached.status();
  }
  EXPECT_EQ(referrers->List(image.digest, kType)->size(), 2U);
  const auto newest = referrers->ReadNewest(image.digest, kType, 1000);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(AsText(newest->parts.at(0).content), "made 2026-01-02T00:00:00Z");
  const auto index =
      world.client.Source(Name(registry.address(), "some/app:sha256-" + image.digest.Hex()))
          ->ReadTopManifest();
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->media_type, oci::media_type::kOciIndex);
}

TEST(DockerRegistry, WantsAPassword) {
  DockerRegistry registry({.wants_password = true});
  ASSERT_TRUE(registry.running()) << "needs docker-registry (apt install docker-registry)";
  const auto directory = TempDir::Make("/tmp", "starling-config-");
  ASSERT_TRUE(directory.ok());
  const auto config_file = directory->path() / "config.json";
  std::ofstream(config_file) << fmt::format(R"({{"auths":{{"{}":{{"auth":"{}"}}}}}})",
                                            registry.address(),
                                            Base64Encode(AsBytes("user:secret")));
  credentials::DockerConfig docker(RealFileSystem(), config_file);
  World world({&docker});
  PushAndPull(world, registry.address());

  FixedCredentials wrong({.username = "user", .password = "wrong"});
  const struct {
    const char* name;
    std::vector<CredentialSource*> sources;
  } cases[] = {{"anonymous", {}}, {"wrong password", {&wrong}}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    World other(c.sources);
    const Status refused =
        other.client.Source(Name(registry.address(), "some/app:v1"))->ReadTopManifest().status();
    EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
    EXPECT_THAT(Describe(refused), HasSubstr("log in"));
  }
}

// --- servers that misbehave, over real connections ---

TEST(Wire, ReadsOnOverBrokenConnections) {
  const std::string content = Pattern(1 << 20);
  std::atomic<int> asked = 0;
  TestServer server([&](const ServedRequest& request) {
    ServedResponse response = ServeRange(content, request);
    switch (asked++ % 4) {
      case 0:
        response.cut_after_bytes = 1000;
        break;
      case 1:
        response.reset = true;
        break;
      case 2:
        return ServedResponse{.status = 500};
      default:
        break;
    }
    return response;
  });
  World world;
  const auto source = world.client.Source(Name(server.address(), "a:b"));
  BytesSink sink;
  const Status streamed = source->ReadBlob(BlobOf(content), sink);
  ASSERT_TRUE(streamed.ok()) << streamed;
  EXPECT_EQ(AsText(sink.bytes()), content);
  const auto blob = source->BlobAt(BlobOf(content));
  const auto bytes = (*blob)->ReadAndWait({.blob_offset = 99, .size_bytes = 5000});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), std::string_view(content).substr(99, 5000));
}

TEST(Wire, ReachesARegistryByItsIPv6Address) {
  const std::string content = Pattern(100000);
  TestServer server([&](const ServedRequest& request) { return ServeRange(content, request); },
                    testing_support::Loopback::kIPv6);
  World world;
  const auto source = world.client.Source(Name(server.address(), "a:b"));
  const auto opened = source->OpenBlob(BlobOf(content), 100);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), std::string_view(content).substr(content.size() - 100));
  ASSERT_FALSE(server.requests().empty());
  EXPECT_EQ(server.requests()[0].Header("host"), server.address());
}

TEST(Wire, RedirectsLeakNoCredentialsAndTokensAreRenewed) {
  const std::string content = Pattern(100000);
  TestServer storage([&](const ServedRequest& request) {
    return request.Header("authorization").empty() ? ServeRange(content, request)
                                                   : ServedResponse{.status = 400};
  });
  std::atomic<int> tokens = 0;
  std::atomic<int> valid_from = 1;
  std::string address;
  TestServer registry([&](const ServedRequest& request) {
    if (request.target.starts_with("/token")) {
      return request.Header("authorization") == "Basic dTpw"
                 ? ServedResponse{.body = fmt::format(R"({{"token":"{}"}})", ++tokens)}
                 : ServedResponse{.status = 401};
    }
    const std::string value = request.Header("authorization");
    if (!value.starts_with("Bearer ") || std::stoi(value.substr(7)) < valid_from) {
      return ServedResponse{
          .status = 401,
          .headers = {
              {"WWW-Authenticate", fmt::format(R"(Bearer realm="http://{}/token",service="x")",
                                               request.Header("host"))}}};
    }
    return ServedResponse{.status = 307,
                          .headers = {{"Location", storage.url() + "/blob?signature=s"}}};
  });
  FixedCredentials credentials({.username = "u", .password = "p"});
  World world({&credentials});
  const auto source = world.client.Source(Name(registry.address(), "a:b"));
  const auto opened = source->OpenBlob(BlobOf(content), 100);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), std::string_view(content).substr(content.size() - 100));
  EXPECT_EQ(registry.requests().size(), 3u) << "401, token, redirect";
  for (uint64_t offset = 0; offset < 1000; offset += 100) {
    ASSERT_TRUE(opened->reader->ReadAndWait({.blob_offset = offset, .size_bytes = 100}).ok());
  }
  EXPECT_EQ(registry.requests().size(), 3u) << "the storage's place is known";
  EXPECT_EQ(storage.connections(), 1) << "and its connection kept";
  valid_from = 2;
  BytesSink sink;
  ASSERT_TRUE(source->ReadBlob(BlobOf(content), sink).ok());
  EXPECT_EQ(tokens, 2);
}

TEST(Wire, ARegistryWithTheReferrersApiNeedsNoTag) {
  // Keeps blobs and manifests by digest; lists one referrer a page.
  Mutex mutex;
  std::map<std::string, std::string> content;
  std::vector<oci::Descriptor> listed;
  TestServer server([&](const ServedRequest& request) {
    MutexLock lock(mutex);
    const std::string object = request.target.substr(request.target.rfind('/') + 1);
    if (request.method == "POST") {
      return ServedResponse{.status = 202, .headers = {{"Location", "/v2/a/uploads/1"}}};
    }
    if (request.method == "PUT" && request.target.starts_with("/v2/a/uploads/1")) {
      content[oci::Digest::Of(AsBytes(request.body)).ToString()] = request.body;
      return ServedResponse{.status = 201};
    }
    if (request.method == "PUT") {
      content[object] = request.body;
      const auto manifest = oci::Manifest::Parse(AsBytes(request.body), "");
      EXPECT_TRUE(manifest.ok() && manifest->subject) << "a tag was written: " << request.target;
      for (const oci::Descriptor& blob : {manifest->config, manifest->layers.at(0)}) {
        EXPECT_TRUE(content.contains(blob.digest.ToString())) << "blobs come first";
      }
      listed.push_back({.media_type = manifest->media_type,
                        .digest = oci::Digest::Of(AsBytes(request.body)),
                        .size_bytes = request.body.size(),
                        .annotations = manifest->annotations,
                        .artifact_type = manifest->artifact_type});
      return ServedResponse{.status = 201,
                            .headers = {{"OCI-Subject", manifest->subject->digest.ToString()}}};
    }
    if (request.target.starts_with("/v2/a/referrers/")) {
      const size_t at = request.target.find("page=");
      const size_t page = at == std::string::npos ? 0 : std::stoul(request.target.substr(at + 5));
      ServedResponse response{
          .headers = {{"Content-Type", std::string(oci::media_type::kOciIndex)}}};
      oci::Index index{.media_type = std::string(oci::media_type::kOciIndex)};
      if (page < listed.size()) {
        index.manifests.push_back(listed[page]);
        response.headers.emplace_back("Link", fmt::format("<?page={}>; rel=\"next\"", page + 1));
      }
      response.body = index.ToJson();
      return response;
    }
    return content.contains(object) ? ServedResponse{.body = content[object]}
                                    : ServedResponse{.status = 404};
  });
  World world;
  const auto referrers = world.client.ReferrersIn(Name(server.address(), "a"));
  const oci::Descriptor image{.media_type = std::string(oci::media_type::kOciManifest),
                              .digest = oci::Digest::Of(AsBytes("image")),
                              .size_bytes = 5};
  constexpr std::string_view kType = "application/vnd.test.v1+json";
  for (const std::string text : {"one", "two", "three"}) {
    const auto attached = referrers->Attach(
        image, {.type = std::string(kType), .parts = {{.content = ToBytes(text)}}});
    ASSERT_TRUE(attached.ok()) << attached.status();
  }
  const auto found = referrers->List(image.digest, kType);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, listed);
  const auto newest = referrers->ReadNewest(image.digest, kType, 1000);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(AsText(newest->parts.at(0).content), "three");
}

TEST(Wire, OneDeadlineForAllTries) {
  const std::string content(1000, 'x');
  const struct {
    const char* name;
    ServedResponse response;
  } cases[] = {
      {"silent", {.silent = true}},
      {"a byte now and then",
       {.status = 206,
        .headers = {{"Content-Range", "bytes 0-999/1000"}},
        .body = content,
        .pause_per_byte = std::chrono::milliseconds(20)}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    TestServer server([&c](const ServedRequest&) { return c.response; });
    World world({}, {.request_timeout = std::chrono::milliseconds(300)});
    const auto source = world.client.Source(Name(server.address(), "a:b"));
    EXPECT_EQ(source->ReadTopManifest().status().code(), StatusCode::kDeadlineExceeded);
    const auto blob = source->BlobAt(BlobOf(content));
    EXPECT_EQ((*blob)
                  ->ReadAndWait({.size_bytes = 1000}, {.timeout = std::chrono::milliseconds(200)})
                  .status()
                  .code(),
              StatusCode::kDeadlineExceeded);
    EXPECT_EQ(server.requests().size(), 2u);
  }
}

TEST(Wire, UploadsAgainAfterALostSession) {
  const std::string content = Pattern(3 << 20);
  std::atomic<int> puts = 0;
  std::string stored;
  TestServer server([&](const ServedRequest& request) {
    if (request.method == "HEAD") return ServedResponse{.status = 404};
    if (request.method == "POST") {
      return ServedResponse{.status = 202, .headers = {{"Location", "/upload?state=1"}}};
    }
    if (++puts == 1) return ServedResponse{.status = 404};
    if (puts == 2) return ServedResponse{.reset = true};
    stored = request.body;
    EXPECT_THAT(request.target, HasSubstr("/upload?state=1&digest=sha256%3A"));
    return ServedResponse{.status = 201};
  });
  World world;
  const Status status = world.client.Destination(Name(server.address(), "a:b"))
                            ->WriteBlob(BlobOf(content), StreamOf(content));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(stored, content);
  EXPECT_EQ(puts, 3);
}

TEST(Wire, AFailingSourceEndsTheUploadAtOnce) {
  std::atomic<int> posts = 0;
  TestServer server([&](const ServedRequest& request) {
    if (request.method == "HEAD") return ServedResponse{.status = 404};
    if (request.method == "DELETE") return ServedResponse{.status = 204};  // it is cancelled
    ++posts;
    return ServedResponse{.status = 202, .headers = {{"Location", "/upload"}}};
  });
  World world;
  const std::string shorter = Pattern(1000);
  oci::Descriptor blob = BlobOf(shorter);
  blob.size_bytes = 2000;
  const Status status =
      world.client.Destination(Name(server.address(), "a:b"))->WriteBlob(blob, StreamOf(shorter));
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(posts, 1);
}

}  // namespace
}  // namespace starling::registry
