#include "registry/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/hex.h"
#include "oci/digest.h"
#include "tests/support/fake_transport.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using testing_support::FakeTransport;
using testing_support::ManualClock;

class FakeCredentials : public CredentialSource {
 public:
  explicit FakeCredentials(StatusOr<Credentials> answer) : answer_(std::move(answer)) {}
  std::string Name() const override { return "fake source"; }
  StatusOr<Credentials> Find(const std::string& registry) override {
    ++asked;
    asked_for = registry;
    return answer_;
  }
  std::atomic<int> asked = 0;
  std::string asked_for;

 private:
  const StatusOr<Credentials> answer_;
};

HttpResponse Answer(int status, std::string_view body = "", std::vector<Header> headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = ToBytes(body)};
}

HttpResponse PartOf(std::string_view content, size_t first, size_t last) {
  return Answer(206, content.substr(first, last - first + 1),
                {{"Content-Range", fmt::format("bytes {}-{}/{}", first, last, content.size())}});
}

/// A client whose network is a function.
struct Harness {
  explicit Harness(FakeTransport::Handler handler, std::vector<CredentialSource*> credentials = {},
                   ClientOptions options = {})
      : transport(clock, std::move(handler)),
        client(std::move(options), {.transport = transport,
                                    .credentials = std::move(credentials),
                                    .clock = clock,
                                    .executor = executor}) {}
  std::shared_ptr<oci::ImageSource> Source(std::string_view name) {
    return client.Source(*oci::Reference::Parse(name));
  }

  ManualClock clock;
  ThreadPool executor{"test", 1};
  FakeTransport transport;
  Client client;
};

const std::string kContent = "0123456789abcdefghijklmnopqrstuvwxyz";

oci::Descriptor BlobOf(std::string_view content) {
  return {.digest = oci::Digest::Of(AsBytes(content)), .size_bytes = content.size()};
}

oci::Descriptor UnknownSize(std::string_view content) {
  oci::Descriptor blob = BlobOf(content);
  blob.size_bytes = 0;
  return blob;
}

/// Serves ranges of kContent as a registry does.
HttpResponse ServeRange(const HttpRequest& request) {
  const std::string range = FakeTransport::HeaderOf(request, "Range");
  if (range.empty()) {
    return Answer(200, kContent, {{"Content-Length", std::to_string(kContent.size())}});
  }
  const size_t dash = range.find('-');
  if (range.starts_with("bytes=-")) {
    const size_t count = std::min<size_t>(std::stoul(range.substr(dash + 1)), kContent.size());
    return PartOf(kContent, kContent.size() - count, kContent.size() - 1);
  }
  const size_t first = std::stoul(range.substr(6, dash - 6));
  const size_t last =
      dash + 1 == range.size() ? kContent.size() - 1 : std::stoul(range.substr(dash + 1));
  return PartOf(kContent, first, last);
}

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

TEST(Client, ExplainsRefusals) {
  const struct {
    int status;
    StatusCode want;
    const char* words;
  } cases[] = {
      {403, StatusCode::kPermissionDenied, "log in"},
      {404, StatusCode::kNotFound, "check the name"},
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

TEST(Client, RetriesWithGrowingDelaysThenGivesUp) {
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

TEST(Client, WaitsAsLongAsTheServerAsks) {
  int requests = 0;
  Harness harness([&](const HttpRequest&) {
    return ++requests == 1 ? Answer(429, "", {{"Retry-After", "7"}}) : Answer(200, "{}");
  });
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(harness.transport.delays(), std::vector<milliseconds>{milliseconds(7000)});
}

TEST(Client, DoesNotWaitLongerThanItsDeadline) {
  Harness harness([&](const HttpRequest&) {
    return Answer(429, "", {{"Retry-After", "Thu, 01 Jan 2026 01:00:00 GMT"}});
  });
  const Status status = harness.Source("a.example/b")->ReadTopManifest().status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(harness.transport.delays().empty());
}

TEST(Client, EveryTryHasOnlyWhatIsLeftOfTheDeadline) {
  Harness harness([&](const HttpRequest&) -> StatusOr<HttpResponse> {
    return MakeError(StatusCode::kUnavailable, "connection refused");
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  const Status status =
      (*blob)->ReadAndWait({.size_bytes = 5}, {.timeout = std::chrono::seconds(60)}).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_LE(harness.clock.passed(), std::chrono::seconds(60));
  EXPECT_GE(harness.clock.passed(), std::chrono::seconds(45)) << "an outage is a pause";
  for (const HttpRequest& request : harness.transport.requests()) {
    EXPECT_LE(request.timeout, std::chrono::seconds(60));
  }
  EXPECT_LT(harness.transport.requests().back().timeout, std::chrono::seconds(15));
}

// --- tokens ---

constexpr std::string_view kBearer =
    R"(Bearer realm="https://auth.example/token",service="s",scope="repository:b:pull")";

/// A registry that wants tokens, and its token server.
struct TokenWorld {
  std::atomic<int> tokens = 0;
  std::string life = "300";
  std::atomic<int> accept_from = 1;  // tokens with smaller numbers are refused

  HttpResponse operator()(const HttpRequest& request) {
    if (request.url.starts_with("https://auth.example/")) {
      return Answer(200, fmt::format(R"({{"token":"t{}","expires_in":{}}})", ++tokens, life));
    }
    const std::string value = FakeTransport::HeaderOf(request, "Authorization");
    if (!value.starts_with("Bearer t") || std::stoi(value.substr(8)) < accept_from) {
      return Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
    }
    return Answer(200, "{}");
  }
};

TEST(ClientTokens, FetchesOneAndKeepsIt) {
  TokenWorld world;
  FakeCredentials credentials(Credentials{.username = "me", .password = "secret"});
  Harness harness(std::ref(world), {&credentials});
  const auto source = harness.Source("a.example/b");
  ASSERT_TRUE(source->ReadTopManifest().ok());
  ASSERT_TRUE(source->ReadTopManifest().ok());
  ASSERT_TRUE(harness.Source("a.example/b:other")->ReadTopManifest().ok());
  const auto requests = harness.transport.requests();
  ASSERT_EQ(requests.size(), 5u) << "401, token, three manifests";
  EXPECT_EQ(requests[1].url, "https://auth.example/token?service=s&scope=repository%3Ab%3Apull");
  EXPECT_EQ(FakeTransport::HeaderOf(requests[1], "Authorization"),
            "Basic " + Base64Encode(AsBytes("me:secret")));
  EXPECT_EQ(FakeTransport::HeaderOf(requests[4], "Authorization"), "Bearer t1");
  EXPECT_EQ(credentials.asked, 1);
  EXPECT_EQ(credentials.asked_for, "a.example");
}

TEST(ClientTokens, AsksInAdvanceForTheNextRepository) {
  TokenWorld world;
  Harness harness(std::ref(world));
  ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  ASSERT_TRUE(harness.Source("a.example/c")->ReadTopManifest().ok());
  const auto requests = harness.transport.requests();
  ASSERT_EQ(requests.size(), 5u) << "no second 401";
  EXPECT_EQ(requests[3].url, "https://auth.example/token?service=s&scope=repository%3Ac%3Apull");
}

TEST(ClientTokens, RenewsBeforeExpiry) {
  TokenWorld world;
  world.life = "60";
  Harness harness(std::ref(world));
  const auto source = harness.Source("a.example/b");
  ASSERT_TRUE(source->ReadTopManifest().ok());
  harness.clock.Advance(std::chrono::seconds(44));
  ASSERT_TRUE(source->ReadTopManifest().ok());
  EXPECT_EQ(world.tokens, 1);
  harness.clock.Advance(std::chrono::seconds(2));
  ASSERT_TRUE(source->ReadTopManifest().ok());
  EXPECT_EQ(world.tokens, 2);
  EXPECT_EQ(harness.transport.requests().size(), 6u) << "without another 401";
}

TEST(ClientTokens, RenewsOnceOn401) {
  TokenWorld world;
  Harness harness(std::ref(world));
  const auto source = harness.Source("a.example/b");
  ASSERT_TRUE(source->ReadTopManifest().ok());
  world.accept_from = 2;
  ASSERT_TRUE(source->ReadTopManifest().ok());
  EXPECT_EQ(world.tokens, 2);
  world.accept_from = 100;
  EXPECT_EQ(source->ReadTopManifest().status().code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(world.tokens, 3) << "once for each call";
}

TEST(ClientTokens, ConcurrentCallsShareOneFetch) {
  TokenWorld world;
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  class GatedCredentials : public CredentialSource {
   public:
    explicit GatedCredentials(std::shared_future<void> gate) : gate_(std::move(gate)) {}
    std::string Name() const override { return "gated"; }
    StatusOr<Credentials> Find(const std::string&) override {
      gate_.wait();
      return Credentials{};
    }

   private:
    const std::shared_future<void> gate_;
  } credentials(opened);
  Harness harness(
      [&](const HttpRequest& request) {
        return request.url.starts_with("https://auth.example/") ||
                       !FakeTransport::HeaderOf(request, "Authorization").empty()
                   ? [&] {
                       auto answer = world(request);
                       return answer.status == 200 &&
                                      request.url.find("/blobs/") != std::string::npos
                                  ? ServeRange(request)
                                  : answer;
                     }()
                   : world(request);
      },
      {&credentials});
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  std::vector<std::future<StatusOr<Bytes>>> reads;
  for (uint64_t i = 0; i < 8; ++i) {
    const auto promise = std::make_shared<std::promise<StatusOr<Bytes>>>();
    reads.push_back(promise->get_future());
    (*blob)->Read({.blob_offset = i, .size_bytes = 1}, {},
                  [promise](StatusOr<Bytes> bytes) { promise->set_value(std::move(bytes)); });
  }
  while (harness.transport.requests().empty()) {
    std::this_thread::yield();
  }
  gate.set_value();
  for (size_t i = 0; i < reads.size(); ++i) {
    const auto bytes = reads[i].get();
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(AsText(*bytes), kContent.substr(i, 1));
  }
  EXPECT_EQ(world.tokens, 1);
}

TEST(ClientTokens, TradesIdentityTokensAndFallsBackToGet) {
  for (const bool knows_post : {true, false}) {
    SCOPED_TRACE(knows_post);
    FakeCredentials credentials(Credentials{.username = "me", .identity_token = "id/token"});
    Harness harness(
        [&](const HttpRequest& request) {
          if (request.url.starts_with("https://auth.example/")) {
            return request.method == "POST" && !knows_post ? Answer(405)
                                                           : Answer(200, R"({"access_token":"x"})");
          }
          return FakeTransport::HeaderOf(request, "Authorization") == "Bearer x"
                     ? Answer(200, "{}")
                     : Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
        },
        {&credentials});
    ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
    const auto requests = harness.transport.requests();
    EXPECT_EQ(requests[1].method, "POST");
    EXPECT_THAT(
        std::string(AsText(requests[1].body)),
        testing::AllOf(HasSubstr("grant_type=refresh_token"), HasSubstr("refresh_token=id%2Ftoken"),
                       HasSubstr("service=s"), HasSubstr("scope=repository%3Ab%3Apull")));
    EXPECT_EQ(requests[2].method, "GET");
    EXPECT_EQ(requests.size(), knows_post ? 3u : 4u);
  }
}

TEST(ClientTokens, BasicIsAnsweredByBasic) {
  FakeCredentials credentials(Credentials{.username = "u", .password = "p"});
  Harness harness(
      [](const HttpRequest& request) {
        return FakeTransport::HeaderOf(request, "Authorization") == "Basic dTpw"
                   ? Answer(200, "{}")
                   : Answer(401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}});
      },
      {&credentials});
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(harness.transport.requests().size(), 3u);
}

TEST(ClientTokens, SaysWhatWasTriedButNoSecret) {
  FakeCredentials broken(MakeError(StatusCode::kInvalidArgument, "\"auths.x.auth\" is not base64"));
  FakeCredentials wrong(Credentials{.username = "me", .password = "hunter2"});
  Harness harness(
      [](const HttpRequest& request) {
        return request.url.starts_with("https://auth.example/")
                   ? Answer(401, R"({"details":"incorrect username or password"})")
                   : Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
      },
      {&broken, &wrong});
  const Status status = harness.Source("a.example/b")->ReadTopManifest().status();
  EXPECT_EQ(status.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(Describe(status),
              testing::AllOf(HasSubstr("auths.x.auth"), HasSubstr("fake source gave some"),
                             HasSubstr("auth.example"), HasSubstr("incorrect username"),
                             HasSubstr("log in"), Not(HasSubstr("hunter2"))));
}

TEST(ClientTokens, CredentialsNeverGoToAnUnencryptedRealm) {
  FakeCredentials credentials(Credentials{.username = "me", .password = "secret"});
  for (const char* realm :
       {"http://auth.example/token", "http://169.254.169.254/", "file:///x", ""}) {
    SCOPED_TRACE(realm);
    Harness harness(
        [&](const HttpRequest&) {
          return Answer(401, "", {{"WWW-Authenticate", fmt::format("Bearer realm=\"{}\"", realm)}});
        },
        {&credentials});
    EXPECT_FALSE(harness.Source("a.example/b")->ReadTopManifest().ok());
    EXPECT_EQ(harness.transport.requests().size(), 1u);
  }
}

TEST(ClientTokens, RefusesTokensThatCouldSmuggleHeaders) {
  Harness harness([](const HttpRequest& request) {
    return request.url.starts_with("https://auth.example/")
               ? Answer(200, R"({"token":"a\r\nX-Evil: 1"})")
               : Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
  });
  EXPECT_EQ(harness.Source("a.example/b")->ReadTopManifest().status().code(),
            StatusCode::kUnauthenticated);
  EXPECT_EQ(harness.transport.requests().size(), 2u);
}

// --- blobs ---

TEST(ClientBlobs, OpensWithOneSuffixRange) {
  Harness harness(ServeRange);
  const auto opened = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 10);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
  EXPECT_EQ(opened->reader->SizeBytes(), kContent.size());
  ASSERT_EQ(harness.transport.requests().size(), 1u);
  EXPECT_EQ(FakeTransport::HeaderOf(harness.transport.requests()[0], "Range"), "bytes=-10");
  const auto all = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 1000);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(AsText(all->tail), kContent);
}

TEST(ClientBlobs, OpensAKnownSizeWithOneRange) {
  Harness harness(ServeRange);
  const auto opened = harness.Source("a.example/b")->OpenBlob(BlobOf(kContent), 10);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
  ASSERT_EQ(harness.transport.requests().size(), 1u);
  EXPECT_EQ(FakeTransport::HeaderOf(harness.transport.requests()[0], "Range"), "bytes=26-35");
}

TEST(ClientBlobs, AsksForTheSizeWhereSuffixRangesAreRefused) {
  for (const int refusal : {200, 400, 416}) {
    SCOPED_TRACE(refusal);
    Harness harness([&](const HttpRequest& request) {
      if (request.method == "HEAD") {
        return Answer(200, "", {{"Content-Length", std::to_string(kContent.size())}});
      }
      if (FakeTransport::HeaderOf(request, "Range").starts_with("bytes=-")) {
        return refusal == 200 ? Answer(200, "", {{"Content-Length", "9000000000"}})
                              : Answer(refusal);
      }
      return ServeRange(request);
    });
    const auto opened = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 10);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
    EXPECT_EQ(harness.transport.requests().size(), 3u);
  }
}

TEST(ClientBlobs, TakesAWholeSmallBlobFromAServerWithoutRanges) {
  Harness harness([](const HttpRequest&) {
    return Answer(200, kContent, {{"Content-Length", std::to_string(kContent.size())}});
  });
  const auto opened = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 10);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
  const auto bytes = opened->reader->ReadAndWait({.blob_offset = 3, .size_bytes = 4});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), "3456");
}

TEST(ClientBlobs, RefusesALargeBlobFromAServerWithoutRanges) {
  Harness harness([](const HttpRequest&) { return Answer(200, kContent); });
  oci::Descriptor blob = BlobOf(kContent);
  blob.size_bytes = 100 << 20;
  const Status status = harness.Source("a.example/b")->OpenBlob(blob, 10).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Describe(status), HasSubstr("ignores Range"));
}

TEST(ClientBlobs, ChecksEveryPartOfContentRange) {
  const char* const wrong[] = {"bytes 5-8/36", "bytes 4-9/36", "bytes 4-8/37",
                               "items 4-8/36", "bytes 4-7/36", "",
                               "bytes */36",   "bytes 4-8/3",  "bytes 4-8/999999999999999999999"};
  for (const char* header : wrong) {
    SCOPED_TRACE(header);
    Harness harness([&](const HttpRequest&) {
      return Answer(206, kContent.substr(4, 5), {{"Content-Range", header}});
    });
    const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
    const auto bytes = (*blob)->ReadAndWait({.blob_offset = 4, .size_bytes = 5});
    // "bytes 4-8/36" alone would be right.
    EXPECT_EQ(bytes.status().code(), StatusCode::kDataLoss);
    EXPECT_EQ(harness.transport.requests().size(), 1u);
  }
}

TEST(ClientBlobs, ReadsExactlyOrFails) {
  Harness harness(ServeRange);
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(harness.transport.requests().size(), 0u) << "opening asks nobody";
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 35, .size_bytes = 1})), "z");
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 36, .size_bytes = 0})->size(), 0u);
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 36, .size_bytes = 1}).status().code(),
            StatusCode::kOutOfRange);
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 1, .size_bytes = ~uint64_t{0}}).status().code(),
            StatusCode::kOutOfRange);
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

TEST(ClientBlobs, FollowsRedirectsWithoutCredentialsAndRemembersThem) {
  TokenWorld world;
  std::atomic<int> signature = 1;
  Harness harness([&](const HttpRequest& request) {
    if (request.url.starts_with("https://storage.example/")) {
      if (!FakeTransport::HeaderOf(request, "Authorization").empty()) return Answer(400);
      return request.url.ends_with(std::to_string(signature)) ? ServeRange(request) : Answer(403);
    }
    auto answer = world(request);
    return answer.status == 200 && request.url.starts_with("https://a.example/")
               ? Answer(307, "",
                        {{"Location",
                          fmt::format("https://storage.example/x?sig={}", signature.load())}})
               : answer;
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 0, .size_bytes = 2})), "01");
  EXPECT_EQ(harness.transport.requests().size(), 4u) << "401, token, redirect, bytes";
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 2, .size_bytes = 2})), "23");
  EXPECT_EQ(harness.transport.requests().size(), 5u) << "straight to the storage";
  signature = 2;
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 4, .size_bytes = 2})), "45");
  EXPECT_EQ(harness.transport.requests().size(), 8u) << "403, redirect, bytes";
}

TEST(ClientBlobs, RefusesDangerousRedirects) {
  const struct {
    const char* location;
    StatusCode want;
    size_t requests;
  } cases[] = {
      {"http://storage.example/", StatusCode::kPermissionDenied, 1},
      {"http://127.0.0.1:9/", StatusCode::kPermissionDenied, 1},
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

TEST(ClientBlobs, StreamsAndResumesWhereItBroke) {
  int requests = 0;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (++requests == 1) {
      request.download->Write(AsBytes(kContent.substr(0, 7))).IgnoreError();
      return MakeError(StatusCode::kUnavailable, "reset");
    }
    if (requests == 2) return Answer(503);
    return ServeRange(request);
  });
  BytesSink sink;
  const Status status = harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(AsText(sink.bytes()), kContent);
  EXPECT_EQ(FakeTransport::HeaderOf(harness.transport.requests().back(), "Range"), "bytes=7-");
}

TEST(ClientBlobs, ResumesOnAServerWithoutRanges) {
  int requests = 0;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (++requests == 1) {
      request.download->Write(AsBytes(kContent.substr(0, 7))).IgnoreError();
      return MakeError(StatusCode::kUnavailable, "reset");
    }
    return Answer(200, kContent);
  });
  BytesSink sink;
  ASSERT_TRUE(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).ok());
  EXPECT_EQ(AsText(sink.bytes()), kContent);
}

TEST(ClientBlobs, ChecksWhatItStreamed) {
  const struct {
    const char* name;
    std::string body;
    StatusCode want;
  } cases[] = {
      {"other bytes", std::string(kContent.size(), 'x'), StatusCode::kDataLoss},
      {"too many", kContent + "!", StatusCode::kDataLoss},
      {"too few", kContent.substr(1), StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Harness harness([&](const HttpRequest& request) {
      return FakeTransport::HeaderOf(request, "Range").empty() ? Answer(200, c.body)
                                                               : ServeRange(request);
    });
    BytesSink sink;
    EXPECT_EQ(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).code(), c.want);
  }
}

TEST(ClientBlobs, StopsWhenTheSinkFails) {
  class FullSink : public ByteSink {
    Status Write(ByteSpan) override { return MakeError(StatusCode::kResourceExhausted, "full"); }
  } sink;
  Harness harness(ServeRange);
  EXPECT_EQ(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

}  // namespace
}  // namespace starling::registry
