#include "registry/token_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/hex.h"
#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(TokenSource, FetchesOneAndKeepsIt) {
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

TEST(TokenSource, TellsWhereCredentialsCameFrom) {
  TokenWorld world;
  FakeCredentials credentials(Credentials{.username = "me", .password = "secret"});
  FakeCredentials none(MakeError(StatusCode::kNotFound, "not logged in"));
  const auto of = [](Harness& harness, std::string_view image) {
    return harness.client.CredentialsOf(*oci::Reference::Parse(image));
  };
  Harness harness(std::ref(world), {&credentials});
  EXPECT_EQ(of(harness, "a.example/b"), std::nullopt) << "nobody has asked";
  ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(of(harness, "a.example/b:other"), "fake source");
  EXPECT_EQ(of(harness, "a.example/c"), std::nullopt);
  for (int i = 0; i < 1100; ++i) {
    ASSERT_TRUE(harness.Source(fmt::format("a.example/d{}", i))->ReadTopManifest().ok());
  }
  EXPECT_EQ(of(harness, "a.example/d1099"), "fake source") << "what is kept is bounded";
  Harness anonymous(std::ref(world), {&none});
  ASSERT_TRUE(anonymous.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(of(anonymous, "a.example/b"), "anonymous");
}

TEST(TokenSource, AsksInAdvanceForTheNextRepository) {
  TokenWorld world;
  Harness harness(std::ref(world));
  ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  ASSERT_TRUE(harness.Source("a.example/c")->ReadTopManifest().ok());
  const auto requests = harness.transport.requests();
  ASSERT_EQ(requests.size(), 5u) << "no second 401";
  EXPECT_EQ(requests[3].url, "https://auth.example/token?service=s&scope=repository%3Ac%3Apull");
}

TEST(TokenSource, RenewsBeforeExpiry) {
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

TEST(TokenSource, RenewsOnceOn401) {
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

TEST(TokenSource, ConcurrentCallsShareOneFetch) {
  TokenWorld world;
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  class GatedCredentials : public CredentialSource {
   public:
    explicit GatedCredentials(std::shared_future<void> gate) : gate_(std::move(gate)) {}
    std::string Name() const override { return "gated"; }
    StatusOr<Credentials> Find(const CredentialRequest&) override {
      gate_.wait();
      return MakeError(StatusCode::kNotFound, "nothing behind the gate");
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

TEST(TokenSource, TradesIdentityTokensAndFallsBackToGet) {
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

TEST(TokenSource, ShowsARegistryTokenAsItIs) {
  const auto registry = [](const HttpRequest& request) {
    EXPECT_FALSE(request.url.starts_with("https://auth.example/")) << "there is nothing to trade";
    return FakeTransport::HeaderOf(request, "Authorization") == "Bearer good"
               ? Answer(200, "{}")
               : Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
  };
  FakeCredentials good(Credentials{.registry_token = "good"});
  FakeCredentials old(Credentials{.registry_token = "old"});
  {
    Harness harness(registry, {&good});
    EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
    EXPECT_EQ(harness.transport.requests().size(), 2u);
  }
  Harness harness(registry, {&old, &good});
  EXPECT_FALSE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok())
      << "one that was refused gives way to another source's";
  FakeCredentials smuggled(Credentials{.registry_token = "good\r\nX: y"});
  Harness refusing(registry, {&smuggled});
  EXPECT_EQ(refusing.Source("a.example/b")->ReadTopManifest().status().code(),
            StatusCode::kUnauthenticated);
}

TEST(TokenSource, BasicIsAnsweredByBasic) {
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

/// A source whose credentials are new each time that they were refused.
class RotatingCredentials : public CredentialSource {
 public:
  std::string Name() const override { return "rotating"; }
  StatusOr<Credentials> Find(const CredentialRequest&) override {
    return Credentials{
        .username = "u", .password = fmt::format("p{}", refused.load()), .renew_at = renew_at};
  }
  void Refused(const CredentialRequest&, const Credentials&) override { ++refused; }
  std::atomic<int> refused = 0;
  std::chrono::steady_clock::time_point renew_at = std::chrono::steady_clock::time_point::max();
};

std::string BasicOf(const std::string& password) {
  return "Basic " + Base64Encode(AsBytes("u:" + password));
}

TEST(TokenSource, LooksForOthersWhenTheTokenServerRefuses) {
  RotatingCredentials credentials;
  TokenWorld world;
  Harness harness(
      [&](const HttpRequest& request) {
        return request.url.starts_with("https://auth.example/") &&
                       FakeTransport::HeaderOf(request, "Authorization") != BasicOf("p1")
                   ? Answer(401)
                   : world(request);
      },
      {&credentials});
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(harness.transport.requests().size(), 4u) << "401, token refused, token, manifest";
  EXPECT_EQ(credentials.refused, 1);
}

TEST(TokenSource, LooksForOthersWhenTheRegistryRefusesALogin) {
  RotatingCredentials credentials;
  std::atomic<int> status = 401;
  Harness harness(
      [&](const HttpRequest& request) {
        const std::string value = FakeTransport::HeaderOf(request, "Authorization");
        if (value == BasicOf(status == 200 ? "p0" : "p1")) {
          return Answer(200, "{}");
        }
        return value.empty() ? Answer(401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}})
                             : Answer(status, "", {{"WWW-Authenticate", "Basic realm=\"r\""}});
      },
      {&credentials});
  status = 200;
  ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  status = 401;
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(credentials.refused, 1);
  EXPECT_EQ(harness.transport.requests().size(), 4u);
}

TEST(TokenSource, ALoginThatIsForbiddenIsLookedForAgain) {
  RotatingCredentials credentials;
  Harness harness(
      [&](const HttpRequest& request) {
        const std::string value = FakeTransport::HeaderOf(request, "Authorization");
        return value.empty() ? Answer(401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}})
               : value == BasicOf("p1") ? Answer(200, "{}")
                                        : Answer(403);
      },
      {&credentials});
  EXPECT_FALSE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
}

TEST(TokenSource, RenewsALoginBeforeItEnds) {
  RotatingCredentials credentials;
  Harness harness(
      [&](const HttpRequest& request) {
        return FakeTransport::HeaderOf(request, "Authorization") ==
                       BasicOf(fmt::format("p{}", credentials.refused.load()))
                   ? Answer(200, "{}")
                   : Answer(401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}});
      },
      {&credentials});
  credentials.renew_at = harness.clock.Now() + std::chrono::hours(11);
  ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  harness.clock.Advance(std::chrono::hours(11));
  credentials.renew_at += std::chrono::hours(11);
  credentials.refused = 1;
  ASSERT_TRUE(harness.Source("a.example/b")->ReadTopManifest().ok());
  EXPECT_EQ(harness.transport.requests().size(), 3u) << "no second 401";
}

TEST(TokenSource, SaysWhatWasTriedButNoSecret) {
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

TEST(TokenSource, CredentialsNeverGoToAnUnencryptedRealm) {
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

TEST(TokenSource, RefusesTokensThatCouldSmuggleHeaders) {
  Harness harness([](const HttpRequest& request) {
    return request.url.starts_with("https://auth.example/")
               ? Answer(200, R"({"token":"a\r\nX-Evil: 1"})")
               : Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
  });
  EXPECT_EQ(harness.Source("a.example/b")->ReadTopManifest().status().code(),
            StatusCode::kUnauthenticated);
  EXPECT_EQ(harness.transport.requests().size(), 2u);
}

TEST(TokenSource, CredentialsStayWhereAnybodyMayHaveNamedTheRealm) {
  const struct {
    const char* image;
    const char* realm;
    bool sent;
  } cases[] = {
      {"plain.example/b", "https://evil.example/token", false},
      {"plain.example/b", "https://plain.example/token", true},
      {"plain.example/b", "https://listed.example/token", true},
      {"a.example/b", "https://auth.example/token", true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(fmt::format("{} {}", c.image, c.realm));
    FakeCredentials credentials(Credentials{.username = "u", .password = "secret"});
    Harness harness(
        [&c](const HttpRequest& request) {
          if (request.url.starts_with(c.realm)) {
            return Answer(403);
          }
          return Answer(401, "",
                        {{"WWW-Authenticate", fmt::format("Bearer realm=\"{}\"", c.realm)}});
        },
        {&credentials}, {.plain_http_hosts = {"plain.example", "listed.example"}});
    const Status status = harness.Source(c.image)->ReadTopManifest().status();
    const auto requests = harness.transport.requests();
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_EQ(FakeTransport::HeaderOf(requests[1], "Authorization").empty(), !c.sent);
    EXPECT_EQ(Describe(status).find("not sent to evil.example") != std::string::npos, !c.sent)
        << status;
    EXPECT_EQ(Describe(status).find("secret"), std::string::npos);
  }
}

TEST(TokenSource, NeverAsksARealmOnThisMachineOrItsLink) {
  for (const char* realm : {"https://169.254.169.254/token", "https://127.0.0.1:9/token",
                            "https://localhost/token", "http://169.254.169.254/token",
                            "file:///etc/passwd", "https://u:p@auth.example/token", "gopher://x"}) {
    SCOPED_TRACE(realm);
    Harness harness([&realm](const HttpRequest&) {
      return Answer(401, "", {{"WWW-Authenticate", fmt::format("Bearer realm=\"{}\"", realm)}});
    });
    EXPECT_FALSE(harness.Source("a.example/b")->ReadTopManifest().ok());
    EXPECT_EQ(harness.transport.requests().size(), 1u);
  }
  Harness harness([](const HttpRequest& request) {
    return request.url.starts_with("https://auth.example/")
               ? Answer(200, R"({"token":"t"})")
               : Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
  });
  (void)harness.Source("a.example/b")->ReadTopManifest();
  ASSERT_GE(harness.transport.requests().size(), 2u);
  EXPECT_EQ(harness.transport.requests()[1].reach, Reach::kOrdinary);
}

}  // namespace
}  // namespace starling::registry
