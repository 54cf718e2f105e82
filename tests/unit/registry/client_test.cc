#include "registry/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/hex.h"
#include "base/temp_dir.h"
#include "registry/host_health.h"
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

/// A registry with a mirror, and who of them is away.
class MirrorTest : public testing::Test {
 protected:
  MirrorTest() {
    Write(
        "[host.'https://mirror.example:5000']\n  [host.'https://mirror.example:5000'.header]\n"
        "  x-tenant = 'seven'\n");
  }
  void Write(std::string_view text) {
    std::filesystem::create_directories(directory_.path() / "docker.io");
    std::ofstream(directory_.path() / "docker.io/hosts.toml") << text;
  }
  HttpResponse Serve(const HttpRequest& request) {
    const bool of_mirror = request.url.starts_with("https://mirror.example:5000/");
    asked_.push_back(of_mirror ? "mirror" : "registry");
    if (of_mirror ? mirror_status_ != 200 : registry_status_ != 200) {
      return Answer(of_mirror ? mirror_status_ : registry_status_);
    }
    return request.url.find("/manifests/") != std::string::npos ? Answer(200, "{}")
                                                                : ServeRange(request);
  }
  std::vector<std::string> Asked() { return std::exchange(asked_, {}); }

  TempDir directory_ = *TempDir::Make("/tmp", "mirror");
  int mirror_status_ = 200;
  int registry_status_ = 200;
  std::vector<std::string> asked_;
  Harness harness_{[this](const HttpRequest& request) { return Serve(request); },
                   {},
                   {.max_retries = 1, .hosts_directories = {directory_.path()}}};
};

TEST_F(MirrorTest, IsAskedFirstAndToldWhichRegistryIsMeant) {
  const auto source = harness_.Source("ubuntu");
  EXPECT_TRUE(source->ReadTopManifest().ok());
  EXPECT_TRUE(source->OpenBlob(BlobOf(kContent), 4).ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"mirror", "mirror"}));
  const auto requests = harness_.transport.requests();
  EXPECT_EQ(requests[0].url,
            "https://mirror.example:5000/v2/library/ubuntu/manifests/latest?ns=docker.io");
  EXPECT_EQ(FakeTransport::HeaderOf(requests[0], "x-tenant"), "seven");
}

TEST_F(MirrorTest, TheRegistryIsAskedForWhatTheMirrorDoesNotHave) {
  mirror_status_ = 404;
  EXPECT_TRUE(harness_.Source("ubuntu")->ReadTopManifest().ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"mirror", "registry"}));
  const auto requests = harness_.transport.requests();
  EXPECT_EQ(requests[1].url, "https://registry-1.docker.io/v2/library/ubuntu/manifests/latest");
  EXPECT_EQ(FakeTransport::HeaderOf(requests[1], "x-tenant"), "") << "the mirror's header";
  EXPECT_TRUE(harness_.Source("ubuntu")->ReadTopManifest().ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"mirror", "registry"})) << "it is well";
}

TEST_F(MirrorTest, AMirrorThatIsAwayIsLeftAloneForAWhile) {
  mirror_status_ = 503;
  EXPECT_TRUE(harness_.Source("ubuntu")->ReadTopManifest().ok());
  EXPECT_EQ(Asked().back(), "registry");
  EXPECT_TRUE(harness_.Source("ubuntu")->OpenBlob(BlobOf(kContent), 4).ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"registry"}));
  mirror_status_ = 200;
  harness_.clock.Advance(HostHealth::kRest);
  EXPECT_TRUE(harness_.Source("ubuntu")->ReadTopManifest().ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"mirror"}));
}

TEST_F(MirrorTest, AnErrorSaysWhatAllOfThemSaid) {
  mirror_status_ = 404;
  registry_status_ = 403;
  const Status status = harness_.Source("ubuntu")->ReadTopManifest().status();
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(MessageOf(status),
              testing::AllOf(HasSubstr("registry-1.docker.io"), HasSubstr("before it, "),
                             HasSubstr("mirror.example:5000")));
}

TEST_F(MirrorTest, CapabilitiesSayWhatAHostIsAskedFor) {
  Write("[host.'https://mirror.example:5000']\ncapabilities = ['pull']");
  const auto source = harness_.Source("ubuntu");
  EXPECT_TRUE(source->ReadTopManifest().ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"registry"})) << "a tag";
  EXPECT_TRUE(source->ReadManifest({.digest = oci::Digest::Of(AsBytes("{}"))}).ok());
  EXPECT_EQ(Asked(), (std::vector<std::string>{"mirror"})) << "a digest";

  harness_.clock.Advance(std::chrono::seconds(2));
  Write("capabilities = ['push']\nserver = 'https://mirror.example:5000'");
  EXPECT_EQ(source->ReadTopManifest().status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(MirrorTest, ABlobCanBeReadAtEachPlace) {
  const auto found = harness_.client.BlobPlaces(*oci::Reference::Parse("ubuntu"));
  ASSERT_TRUE(found.ok()) << found.status();
  const std::vector<oci::BlobPlace>& places = *found;
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[0].name, "docker.io/library/ubuntu:latest by mirror.example:5000");
  EXPECT_EQ(places[1].name, "docker.io/library/ubuntu:latest");
  for (const auto& place : places) {
    const auto blob = place.open(BlobOf(kContent));
    ASSERT_TRUE(blob.ok()) << blob.status();
    const auto bytes = (*blob)->ReadAndWait({.blob_offset = 3, .size_bytes = 4});
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(AsText(*bytes), "3456");
  }
  EXPECT_EQ(Asked(), (std::vector<std::string>{"mirror", "registry"}));
  EXPECT_TRUE(harness_.client.BlobPlaces(*oci::Reference::Parse("ghcr.io/a/b"))->empty());
}

TEST_F(MirrorTest, AFileThatIsWrongIsSaid) {
  Write("servr = 'x'");
  const Status status = harness_.Source("ubuntu")->ReadTopManifest().status();
  EXPECT_THAT(MessageOf(status), HasSubstr("docker.io/hosts.toml:1:9: unknown key \"servr\""));
  EXPECT_FALSE(harness_.client.BlobPlaces(*oci::Reference::Parse("ubuntu")).ok());
}

TEST_F(MirrorTest, WhatIsOpenSeesANewHeader) {
  const auto blob =
      harness_.client.BlobPlaces(*oci::Reference::Parse("ubuntu"))->at(0).open(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  Write("[host.'https://mirror.example:5000']\nheader = { x-tenant = 'eight' }");
  harness_.clock.Advance(std::chrono::seconds(2));
  EXPECT_TRUE((*blob)->ReadAndWait({.blob_offset = 3, .size_bytes = 4}).ok());
  EXPECT_EQ(FakeTransport::HeaderOf(harness_.transport.requests().back(), "x-tenant"), "eight");
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

TEST(Client, ChecksALogin) {
  const Credentials login{.username = "me", .password = "hunter2"};
  const std::string basic = "Basic " + Base64Encode(AsBytes("me:hunter2"));
  const auto by_basic = [&](const HttpRequest& request) {
    return FakeTransport::HeaderOf(request, "Authorization") == basic
               ? Answer(200)
               : Answer(401, "", {{"WWW-Authenticate", "Basic realm=x"}});
  };
  const auto by_token = [&](const HttpRequest& request) {
    if (request.url.starts_with("https://auth.example/")) {
      // Everybody gets a token here; without a login it opens nothing else.
      return Answer(200, R"({"token":"t"})");
    }
    return FakeTransport::HeaderOf(request, "Authorization") == "Bearer t"
               ? Answer(200)
               : Answer(401, "",
                        {{"WWW-Authenticate",
                          R"(Bearer realm="https://auth.example/token",service="s")"}});
  };
  const auto by_refusing_token = [](const HttpRequest& request) {
    return request.url.starts_with("https://auth.example/")
               ? Answer(401)
               : Answer(401, "",
                        {{"WWW-Authenticate", R"(Bearer realm="https://auth.example/token")"}});
  };
  const struct {
    const char* what;
    const char* registry;
    FakeTransport::Handler handler;
    Credentials credentials;
    std::string want;  // or the code of the error
    size_t requests;
  } cases[] = {
      {"basic", "ghcr.io", by_basic, login, "accepted", 2},
      {"basic, wrong", "ghcr.io", by_basic, {.username = "me", .password = "x"}, "401", 2},
      {"token", "ghcr.io", by_token, login, "accepted", 3},
      {"token, refused", "ghcr.io", by_refusing_token, login, "401", 2},
      {"open to all", "ghcr.io", [](const HttpRequest&) { return Answer(200); }, login, "not asked",
       1},
      {"no registry", "ghcr.io", [](const HttpRequest&) { return Answer(404); }, login, "404", 1},
      // Anybody may have named that server: it gets no password, and an anonymous token proves
      // nothing.
      {"token server that cannot be trusted", "r.example:5000", by_token, login, "withheld", 1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    FakeCredentials source(c.credentials);
    Harness harness(c.handler, {&source}, {.plain_http_hosts = {"r.example:5000"}});
    const auto checked = harness.client.CheckLogin(c.registry);
    const std::map<StatusCode, std::string> codes = {{StatusCode::kUnauthenticated, "401"},
                                                     {StatusCode::kNotFound, "404"},
                                                     {StatusCode::kFailedPrecondition, "withheld"}};
    const std::string got = !checked.ok() ? codes.at(checked.status().code())
                            : *checked == Client::LoginCheck::kAccepted ? "accepted"
                                                                        : "not asked";
    EXPECT_EQ(got, c.want) << checked.status();
    EXPECT_EQ(Describe(checked.status()).find("hunter2"), std::string::npos);
    const auto requests = harness.transport.requests();
    EXPECT_EQ(requests.size(), c.requests);
    EXPECT_TRUE(requests.front().url.ends_with("/v2/")) << requests.front().url;
  }
}

}  // namespace
}  // namespace starling::registry
