#include "credentials/google.h"

#include <nlohmann/json.hpp>

#include "tests/unit/credentials/cloud.h"
#include "tests/unit/credentials/rsa_key.h"

namespace starling::credentials {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const registry::CredentialRequest kImage{.registry = "europe-docker.pkg.dev",
                                         .repository = "p/r/i"};

TEST(IsGoogleRegistry, KnowsItsHosts) {
  for (const char* host : {"gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev"}) {
    EXPECT_TRUE(IsGoogleRegistry(host)) << host;
  }
  for (const char* host : {"evilgcr.io", "pkg.dev", "gcr.io.evil.example", "docker.io", ""}) {
    EXPECT_FALSE(IsGoogleRegistry(host)) << host;
  }
}

TEST(ParseGoogleToken, RefusesWhatIsNoToken) {
  EXPECT_EQ(ParseGoogleToken(AsBytes(R"({"access_token":"t","expires_in":3599})"))->life,
            std::chrono::seconds(3599));
  for (const char* json :
       {"", "{}", R"({"access_token":"hunter2"})", R"({"access_token":"hunter2","expires_in":"1"})",
        R"({"access_token":"hunter2\r\nX: y","expires_in":1})",
        R"({"access_token":1,"expires_in":1})"}) {
    const Status status = ParseGoogleToken(AsBytes(json)).status();
    EXPECT_EQ(status.code(), StatusCode::kUnauthenticated) << json;
    EXPECT_THAT(Describe(status), Not(HasSubstr("hunter2")));
  }
}

std::string KeyFile(const std::string& pem) {
  return nlohmann::json{{"type", "service_account"},
                        {"client_email", "me@p.iam.gserviceaccount.com"},
                        {"private_key_id", "id1"},
                        {"private_key", pem}}
      .dump();
}

/// Google's token endpoint: checks a grant as it does.
struct TokenEndpoint {
  const RsaKey& key;
  std::atomic<int> tokens = 0;
  HttpResponse operator()(const HttpRequest& request) {
    const std::string prefix =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    const std::string body = BodyOf(request);
    if (request.url != "https://oauth2.googleapis.com/token" || !body.starts_with(prefix)) {
      return Answer(400, R"({"error":"unsupported_grant_type"})");
    }
    const std::string token = body.substr(prefix.size());
    const auto claims = nlohmann::json::parse(ClaimsOf(token));
    const bool is_good = key.Verifies(token) && claims["iss"] == "me@p.iam.gserviceaccount.com" &&
                         claims["aud"] == "https://oauth2.googleapis.com/token" &&
                         claims["scope"] == "https://www.googleapis.com/auth/cloud-platform" &&
                         claims["exp"].get<int64_t>() - claims["iat"].get<int64_t>() == 3600 &&
                         claims["iat"].get<int64_t>() >= 1767225600;
    return is_good
               ? Answer(200, fmt::format(R"({{"access_token":"t{}","expires_in":3599}})", ++tokens))
               : Answer(400, R"({"error":"invalid_grant"})");
  }
};

TEST(GoogleCredentials, ASignedGrantForAToken) {
  const RsaKey key;
  TokenEndpoint endpoint{.key = key};
  Cloud cloud(std::ref(endpoint));
  GoogleCredentials source(cloud.With({{"SERVICE_ACCOUNT_JSON", KeyFile(key.pem())}}));
  const auto found = source.Find(kImage);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->username, "oauth2accesstoken");
  EXPECT_EQ(found->password, "t1");
  EXPECT_EQ(source.Find({.registry = "gcr.io", .repository = "x"})->password, "t1");
  cloud.clock.Advance(std::chrono::minutes(55));
  EXPECT_EQ(source.Find(kImage)->password, "t2") << "before it ends";
}

TEST(GoogleCredentials, FilesInTheirOrder) {
  const RsaKey key;
  TokenEndpoint endpoint{.key = key};
  Cloud cloud(std::ref(endpoint));
  const std::string file = cloud.WriteFile("key.json", KeyFile(key.pem()));
  EXPECT_TRUE(
      GoogleCredentials(cloud.With({{"GOOGLE_APPLICATION_CREDENTIALS", file}})).Find(kImage).ok());
  EXPECT_THAT(Describe(GoogleCredentials(cloud.With({{"GOOGLE_APPLICATION_CREDENTIALS", "/no"}}))
                           .Find(kImage)
                           .status()),
              HasSubstr("GOOGLE_APPLICATION_CREDENTIALS: "));
  cloud.WriteFile(".config/gcloud/application_default_credentials.json", KeyFile(key.pem()));
  EXPECT_TRUE(GoogleCredentials(cloud.With({})).Find(kImage).ok());
  EXPECT_EQ(GoogleCredentials(cloud.With({}, Surroundings::kNone)).Find(kImage).status().code(),
            StatusCode::kNotFound);
}

TEST(GoogleCredentials, AUsersRefreshToken) {
  Cloud cloud([](const HttpRequest& request) {
    return BodyOf(request) ==
                   "grant_type=refresh_token&client_id=c&client_secret=s%2F&refresh_token=r"
               ? Answer(200, R"({"access_token":"t","expires_in":10})")
               : Answer(400);
  });
  cloud.WriteFile(
      ".config/gcloud/application_default_credentials.json",
      R"({"type":"authorized_user","client_id":"c","client_secret":"s/","refresh_token":"r"})");
  const auto found = GoogleCredentials(cloud.With({})).Find(kImage);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->password, "t");
}

TEST(GoogleCredentials, TheMachinesMetadataServer) {
  const auto serve = [](const HttpRequest& request) {
    return FakeTransport::HeaderOf(request, "Metadata-Flavor") == "Google"
               ? Answer(200, R"({"access_token":"t","expires_in":3599})",
                        {{"Metadata-Flavor", "Google"}})
               : Answer(403);
  };
  Cloud cloud(serve);
  ASSERT_TRUE(GoogleCredentials(cloud.With({})).Find(kImage).ok());
  EXPECT_EQ(cloud.asked().front(),
            "GET http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/"
            "default/token");
  EXPECT_EQ(cloud.transport.requests().front().proxy, registry::Proxy::kNever);
  Cloud named(serve);
  ASSERT_TRUE(
      GoogleCredentials(named.With({{"GCE_METADATA_HOST", "127.0.0.1:5"}})).Find(kImage).ok());
  EXPECT_THAT(named.asked().front(), HasSubstr("http://127.0.0.1:5/"));
  Cloud other([](const HttpRequest&) { return Answer(200, "<html>hello</html>"); });
  EXPECT_THAT(Describe(GoogleCredentials(other.With({})).Find(kImage).status()),
              HasSubstr("is not Google's"));
}

TEST(GoogleCredentials, LooksAtNothingForOtherRegistries) {
  Cloud cloud(Nobody);
  GoogleCredentials source(cloud.With({}));
  const Status status = source.Find({.registry = "docker.io", .repository = "x"}).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status), "");
  EXPECT_THAT(cloud.asked(), IsEmpty());
}

TEST(GoogleCredentials, SaysWhatFailedButNoSecret) {
  const RsaKey key;
  Cloud cloud([](const HttpRequest& request) {
    const std::string body = BodyOf(request);
    return Answer(
        400,
        nlohmann::json{{"error_description", body.substr(body.find("assertion=") + 10)}}.dump());
  });
  const std::string error =
      Describe(GoogleCredentials(cloud.With({{"SERVICE_ACCOUNT_JSON", KeyFile(key.pem())}}))
                   .Find(kImage)
                   .status());
  EXPECT_THAT(error, AllOf(HasSubstr("SERVICE_ACCOUNT_JSON"), HasSubstr("oauth2.googleapis.com"),
                           HasSubstr("400"), Not(HasSubstr("eyJ"))));
  EXPECT_THAT(Describe(GoogleCredentials(cloud.With({{"SERVICE_ACCOUNT_JSON", KeyFile("hunter2")}}))
                           .Find(kImage)
                           .status()),
              AllOf(HasSubstr("private key"), Not(HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace starling::credentials
