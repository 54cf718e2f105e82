#include "credentials/azure.h"

#include "credentials/jwt.h"
#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const registry::CredentialRequest kImage{.registry = "mine.azurecr.io", .repository = "app"};

std::string TokenUntil(int64_t exp) {
  return "h." + Base64UrlEncode(AsBytes(fmt::format(R"({{"exp":{}}})", exp))) + ".s";
}

TEST(LifeOfAzureToken, IsItsOwnClaim) {
  const auto now = std::chrono::system_clock::from_time_t(1'000'000);
  const struct {
    std::string token;
    int64_t want;
  } cases[] = {
      {TokenUntil(1'010'800), 10'800},
      {TokenUntil(1), 0},
      {TokenUntil(9'000'000'000), 86'400},
      {"", 3600},
      {"a.b.c", 3600},
      {"a.e30.c", 3600},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(LifeOfAzureToken(c.token, now).count(), c.want) << c.token;
  }
}

/// Entra ID, the machine's identity service and a registry's exchange.
StatusOr<HttpResponse> Azure(const HttpRequest& request) {
  const std::string body = BodyOf(request);
  if (request.url == "https://login.microsoftonline.com/ten/oauth2/v2.0/token") {
    return body.find("client_secret=hunter2") != std::string::npos ||
                   body.find("client_assertion=federated") != std::string::npos
               ? Answer(200, R"({"access_token":"entra"})")
               : Answer(401, R"({"error_description":"wrong secret"})");
  }
  if (request.url.starts_with("http://169.254.169.254/metadata/identity/oauth2/token?")) {
    return FakeTransport::HeaderOf(request, "Metadata") == "true"
               ? Answer(200, R"({"access_token":"entra"})")
               : Answer(400);
  }
  return request.url == "https://mine.azurecr.io/oauth2/exchange" &&
                 body.find("service=mine.azurecr.io") != std::string::npos &&
                 body.find("access_token=entra") != std::string::npos
             ? Answer(200,
                      fmt::format(R"({{"refresh_token":"{}"}})", TokenUntil(1767225600 + 3 * 3600)))
             : Answer(401);
}

TEST(AzureCredentials, AnApplicationsTokenIsExchanged) {
  Cloud cloud(Azure);
  AzureCredentials source(cloud.With(
      {{"AZURE_TENANT_ID", "ten"}, {"AZURE_CLIENT_ID", "cl"}, {"AZURE_CLIENT_SECRET", "hunter2"}},
      Surroundings::kNone));
  const auto found = source.Find(kImage);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->username, "00000000-0000-0000-0000-000000000000");
  EXPECT_EQ(found->identity_token, TokenUntil(1767225600 + 3 * 3600));
  EXPECT_EQ(found->renew_at, cloud.clock.Now() + std::chrono::minutes(165));
  EXPECT_THAT(cloud.asked(),
              ElementsAre("POST https://login.microsoftonline.com/ten/oauth2/v2.0/token",
                          "POST https://mine.azurecr.io/oauth2/exchange"));
  EXPECT_THAT(BodyOf(cloud.transport.requests()[0]),
              HasSubstr("scope=https%3A%2F%2Fcontainerregistry.azure.net%2F.default"));
  ASSERT_TRUE(source.Find(kImage).ok());
  EXPECT_EQ(cloud.asked().size(), 2u);
}

TEST(AzureCredentials, AFederatedTokenAndTheMachinesIdentity) {
  Cloud cloud(Azure);
  EXPECT_TRUE(AzureCredentials(cloud.With({{"AZURE_TENANT_ID", "ten"},
                                           {"AZURE_CLIENT_ID", "cl"},
                                           {"AZURE_FEDERATED_TOKEN_FILE",
                                            cloud.WriteFile("token", "federated\n")}}))
                  .Find(kImage)
                  .ok());
  Cloud machine(Azure);
  EXPECT_TRUE(AzureCredentials(machine.With({{"AZURE_CLIENT_ID", "cl"}})).Find(kImage).ok());
  EXPECT_THAT(machine.asked().front(), HasSubstr("&client_id=cl"));
  EXPECT_EQ(machine.transport.requests().front().proxy, registry::Proxy::kNever);
}

TEST(AzureCredentials, SaysWhatFailedButNoSecret) {
  Cloud cloud([](const HttpRequest&) { return Answer(401, R"({"error_description":"wrong"})"); });
  EXPECT_THAT(Describe(AzureCredentials(cloud.With({{"AZURE_TENANT_ID", "ten"},
                                                    {"AZURE_CLIENT_ID", "cl"},
                                                    {"AZURE_CLIENT_SECRET", "hunter2"}}))
                           .Find(kImage)
                           .status()),
              AllOf(HasSubstr("wrong"), HasSubstr("tenant ten"), Not(HasSubstr("hunter2"))));
  Cloud nobody(Nobody);
  EXPECT_THAT(Describe(AzureCredentials(nobody.With({})).Find(kImage).status()),
              AllOf(HasSubstr("AZURE_CLIENT_SECRET"), HasSubstr("does not answer")));
}

TEST(AzureCredentials, LooksAtNothingForOtherRegistries) {
  Cloud cloud(Azure);
  const Status status =
      AzureCredentials(cloud.With({})).Find({.registry = "azurecr.io.example"}).status();
  EXPECT_EQ(MessageOf(status), "");
  EXPECT_THAT(cloud.asked(), IsEmpty());
}

}  // namespace
}  // namespace starling::credentials
