#include "registry/rate_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;

HttpResponse Told(int status, const std::string& limit, const std::string& remaining,
                  const std::string& source = "") {
  std::vector<Header> headers;
  // As Docker Hub spells them over HTTP/2.
  if (!limit.empty()) headers.push_back({"ratelimit-limit", limit});
  if (!remaining.empty()) headers.push_back({"ratelimit-remaining", remaining});
  if (!source.empty()) headers.push_back({"docker-ratelimit-source", source});
  return Answer(status, "", headers);
}

TEST(RateLimit, ReadsHeadersAndNothingElse) {
  const struct {
    const char* name;
    std::string limit;
    std::string remaining;
    std::string source;
    std::string text;  // empty: told of none
  } cases[] = {
      {"Docker Hub's", "100;w=21600", "76;w=21600", "192.0.2.1",
       "76 of 100 requests in 6 h are left, counted for 192.0.2.1"},
      {"without a window", "100", "0", "", "0 of 100 requests are left"},
      {"the rest alone", "", "5;w=90", "", "5 requests in 90 s are left"},
      {"the limit alone", "200;w=60", "", "", "some of 200 requests in 1 min are left"},
      {"none", "", "", "192.0.2.1", ""},
      {"no number", "many;w=3", "-1", "", ""},
      {"too large", "99999999999", "", "", ""},
      {"an odd window", "10;w=forever", "1", "", "1 of 10 requests are left"},
      {"what a terminal would obey", "10", "1", "\x1b[2J",
       "1 of 10 requests are left, counted for ?[2J"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto limit = RateLimit::Of(Told(200, c.limit, c.remaining, c.source));
    EXPECT_EQ(limit ? limit->ToString() : "", c.text);
  }
}

TEST(RateLimits, TellsOfEachChangeOnce) {
  std::vector<RateLimitState> told;
  RateLimits limits([&](const RateLimitEvent& event) {
    EXPECT_EQ(event.registry, "docker.io");
    told.push_back(event.state);
  });
  const struct {
    int status;
    const char* remaining;
    std::vector<RateLimitState> told;  // so far
  } steps[] = {
      {200, "90", {}},
      {200, "10", {}},
      {200, "9", {RateLimitState::kLow}},
      {200, "8", {RateLimitState::kLow}},
      {200, "0", {RateLimitState::kLow, RateLimitState::kExhausted}},
      {429, "", {RateLimitState::kLow, RateLimitState::kExhausted}},
      {404, "", {RateLimitState::kLow, RateLimitState::kExhausted}},
      {200, "100", {RateLimitState::kLow, RateLimitState::kExhausted, RateLimitState::kPlenty}},
      {429,
       "",
       {RateLimitState::kLow, RateLimitState::kExhausted, RateLimitState::kPlenty,
        RateLimitState::kExhausted}},
  };
  for (const auto& step : steps) {
    const std::string remaining = step.remaining;
    limits.OnAnswer("docker.io", Told(step.status, remaining.empty() ? "" : "100", remaining));
    EXPECT_EQ(told, step.told) << step.status << " " << remaining;
  }
  EXPECT_EQ(limits.Of("docker.io")->remaining, 100u);
  EXPECT_FALSE(limits.Of("a.example"));
  EXPECT_EQ(limits.All().size(), 1u);
}

TEST(RateLimits, AreReadFromTheRegistrysOwnAnswersAndSaidWhenTheyAreExceeded) {
  std::vector<RateLimitEvent> told;
  int left = 2;
  Harness harness(
      [&](const HttpRequest& request) -> StatusOr<HttpResponse> {
        if (request.url.starts_with("https://cdn.example/")) {
          return Told(200, "5", "1");  // storage has limits of its own, which are nobody's business
        }
        if (request.url.find("/blobs/") != std::string::npos) {
          HttpResponse redirect = Told(307, "100;w=21600", std::to_string(left));
          redirect.headers.push_back({"Location", "https://cdn.example/blob"});
          return redirect;
        }
        if (left == 0) {
          HttpResponse refused = Told(429, "100;w=21600", "0", "192.0.2.1");
          refused.headers.push_back({"Retry-After", "3600"});
          return refused;
        }
        return Told(404, "100;w=21600", std::to_string(--left));
      },
      {}, {}, [&](const RateLimitEvent& event) { told.push_back(event); });
  const auto source = harness.Source("a.example/b:1");
  BytesSink sink;
  (void)source->ReadBlob(UnknownSize(""), sink);
  EXPECT_EQ(harness.client.KnownRateLimits().at("a.example").remaining, 2u);
  (void)source->ReadTopManifest();
  (void)source->ReadTopManifest();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].state, RateLimitState::kLow);
  EXPECT_EQ(told[1].state, RateLimitState::kExhausted);
  const Status refused = source->ReadTopManifest().status();
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(Describe(refused),
              testing::AllOf(HasSubstr("0 of 100 requests in 6 h are left, counted for 192.0.2.1"),
                             HasSubstr("no credentials"), HasSubstr("log in to a.example"),
                             HasSubstr("wait")));
}

}  // namespace
}  // namespace starling::registry
