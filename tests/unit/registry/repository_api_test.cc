#include "registry/repository_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(RepositoryApi, ExplainsRefusals) {
  const struct {
    int status;
    StatusCode want;
    const char* words;
  } cases[] = {
      {403, StatusCode::kPermissionDenied, "log in"},
      {404, StatusCode::kNotFound, "check the repository's name"},
      {405, StatusCode::kFailedPrecondition, "405"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.status);
    Harness harness([&](const HttpRequest&) {
      return Answer(c.status,
                    R"({"errors":[{"code":"NAME_UNKNOWN","message":"no\u001b[31m such"}]})");
    });
    const Status status = harness.Source("ghcr.io/me/app:1")->ReadTopManifest().status();
    EXPECT_EQ(status.code(), c.want);
    EXPECT_THAT(Describe(status),
                testing::AllOf(HasSubstr("ghcr.io/me/app"), HasSubstr("manifest 1"),
                               HasSubstr(c.words), HasSubstr("NAME_UNKNOWN: no?[31m such")));
    EXPECT_EQ(harness.transport.requests().size(), 1u) << "not worth a retry";
  }
}

TEST(RepositoryApi, RetriesWithGrowingDelaysThenGivesUp) {
  Harness harness([](const HttpRequest&) { return Answer(503); });
  const Status status = harness.Source("a.example/b")->ReadTopManifest().status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(harness.transport.requests().size(), 6u) << "one and five retries";
  const auto delays = harness.transport.delays();
  ASSERT_EQ(delays.size(), 5u);
  for (size_t i = 0; i < delays.size(); ++i) {
    const milliseconds longest(100 << i);
    EXPECT_LE(delays[i], longest);
    EXPECT_GE(delays[i], longest / 2);
  }
}

TEST(RepositoryApi, WaitsAsLongAsTheServerAsks) {
  int requests = 0;
  Harness harness([&](const HttpRequest&) {
    return ++requests == 1 ? Answer(429, "", {{"Retry-After", "7"}}) : Answer(200, "{}");
  });
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  const auto delays = harness.transport.delays();
  ASSERT_EQ(delays.size(), 1u);
  EXPECT_GE(delays[0], milliseconds(7000));
  EXPECT_LE(delays[0], milliseconds(7500)) << "and a little at random";
}

TEST(RepositoryApi, DoesNotWaitLongerThanItsDeadline) {
  Harness harness([&](const HttpRequest&) {
    return Answer(429, "", {{"Retry-After", "Thu, 01 Jan 2026 01:00:00 GMT"}});
  });
  const Status status = harness.Source("a.example/b")->ReadTopManifest().status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(harness.transport.delays().empty());
}

TEST(RepositoryApi, EveryTryHasOnlyWhatIsLeftOfTheDeadline) {
  Harness harness([&](const HttpRequest&) -> StatusOr<HttpResponse> {
    return MakeError(StatusCode::kUnavailable, "connection refused");
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  const Status status =
      (*blob)->ReadAndWait({.size_bytes = 5}, {.timeout = std::chrono::seconds(60)}).status();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_LE(harness.clock.passed(), std::chrono::seconds(60));
  EXPECT_GE(harness.clock.passed(), std::chrono::seconds(45)) << "an outage is a pause";
  for (const HttpRequest& request : harness.transport.requests()) {
    EXPECT_LE(request.timeout, std::chrono::seconds(60));
  }
  EXPECT_LT(harness.transport.requests().back().timeout, std::chrono::seconds(15));
}

TEST(RepositoryApi, RefusesDangerousRedirects) {
  const struct {
    const char* location;
    StatusCode want;
    size_t requests;
  } cases[] = {
      {"http://storage.example/", StatusCode::kFailedPrecondition, 1},
      {"http://127.0.0.1:9/", StatusCode::kFailedPrecondition, 1},
      {"file:///etc/shadow", StatusCode::kInvalidArgument, 1},
      {"", StatusCode::kInvalidArgument, 1},
      {"https://a.example/again", StatusCode::kFailedPrecondition, 11},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.location);
    Harness harness(
        [&](const HttpRequest&) { return Answer(302, "", {{"Location", c.location}}); });
    const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
    EXPECT_EQ((*blob)->ReadAndWait({.size_bytes = 2}).status().code(), c.want);
    EXPECT_EQ(harness.transport.requests().size(), c.requests);
  }
}

TEST(RepositoryApi, NeverFollowsToThisMachineOrItsLink) {
  for (const char* location :
       {"https://169.254.169.254/latest/meta-data", "https://127.0.0.1/",
        "https://localhost:10250/", "https://[::ffff:169.254.169.254]/", "//0.0.0.0/x"}) {
    SCOPED_TRACE(location);
    Harness harness(
        [&location](const HttpRequest&) { return Answer(307, "", {{"Location", location}}); });
    const Status status = harness.Source("a.example/b")->ReadTopManifest().status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(harness.transport.requests().size(), 1u);
  }
}

TEST(RepositoryApi, OnlyTheUsersOwnHostMayBeAnywhere) {
  Harness harness([](const HttpRequest& request) {
    return request.url.starts_with("https://a.example/")
               ? Answer(307, "", {{"Location", "https://storage.example/m"}})
               : Answer(404);
  });
  (void)harness.Source("a.example/b")->ReadTopManifest();
  const auto requests = harness.transport.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].reach, Reach::kAnywhere);
  EXPECT_EQ(requests[1].reach, Reach::kOrdinary);
}

TEST(RepositoryApi, FollowsABoundedNumberOfRedirects) {
  Harness harness([](const HttpRequest&) {
    return Answer(307, "", {{"Location", "https://a.example/again"}});
  });
  EXPECT_EQ(harness.Source("a.example/b")->ReadTopManifest().status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(harness.transport.requests().size(), 11u);
}

TEST(RepositoryApi, NeverAsksTheUrlsOfADescriptor) {
  Harness harness([](const HttpRequest&) { return Answer(404); });
  oci::Descriptor foreign = BlobOf(kContent);
  foreign.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  foreign.urls = {"https://169.254.169.254/", "https://elsewhere.example/layer"};
  const auto source = harness.Source("a.example/b");
  EXPECT_FALSE(source->OpenBlob(foreign, 10).ok());
  const auto blob = source->BlobAt(foreign);
  ASSERT_TRUE(blob.ok());
  EXPECT_FALSE((*blob)->ReadAndWait({.size_bytes = 2}).ok());
  for (const HttpRequest& request : harness.transport.requests()) {
    EXPECT_TRUE(request.url.starts_with("https://a.example/")) << request.url;
  }
}

TEST(RepositoryApi, ShowsErrorsOfARegistryCutAndClean) {
  const std::string message = "\x1b[31mred\n{\"level\":\"fatal\"}" + std::string(5000, 'x');
  Harness harness([&message](const HttpRequest&) {
    return Answer(400, nlohmann::json{{"errors", {{{"code", "X"}, {"message", message}}}}}.dump());
  });
  const std::string shown = Describe(harness.Source("a.example/b")->ReadTopManifest().status());
  EXPECT_LT(shown.size(), 1000u);
  for (const char c : shown) {
    EXPECT_TRUE(c >= ' ' && c < 0x7f) << static_cast<int>(c);
  }
}

}  // namespace
}  // namespace starling::registry
