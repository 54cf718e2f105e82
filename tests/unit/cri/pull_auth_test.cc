#include "cri/pull_auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/cri/runtime/v1/image_service.pb.h"
#include "base/hex.h"

namespace starling::cri {
namespace {

using ::runtime::v1::AuthConfig;

AuthConfig Auth(const std::function<void(AuthConfig&)>& fill) {
  AuthConfig auth;
  fill(auth);
  return auth;
}

std::string Show(const StatusOr<std::optional<PullAuth>>& read) {
  if (!read.ok()) return Describe(read.status());
  if (!*read) return "none";
  const auto& [whose, c] = **read;
  return fmt::format("{} {}: user={} password={} identity={} token={}", whose.registry,
                     whose.repository, c.username, c.password, c.identity_token, c.registry_token);
}

TEST(ReadPullAuth, KnowsWhatContainerdKnows) {
  const std::string packed = Base64Encode(AsBytes("u:p:q"));
  const struct {
    const char* image;
    AuthConfig auth;
    const char* want;
  } cases[] = {
      {"r.example/a/b:1", Auth([](AuthConfig& a) { a.set_username("u"), a.set_password("p"); }),
       "r.example a/b: user=u password=p identity= token="},
      {"ubuntu", Auth([](AuthConfig& a) { a.set_username("u"), a.set_password("p"); }),
       "docker.io library/ubuntu: user=u password=p identity= token="},
      {"r.example:5000/a@sha256:"
       "0000000000000000000000000000000000000000000000000000000000000000",
       Auth([&](AuthConfig& a) { a.set_auth(packed); }),
       "r.example:5000 a: user=u password=p:q identity= token="},
      {"r.example/a", Auth([](AuthConfig& a) { a.set_identity_token("i"); }),
       "r.example a: user= password= identity=i token="},
      {"r.example/a", Auth([](AuthConfig& a) { a.set_registry_token("t"); }),
       "r.example a: user= password= identity= token=t"},
      // What containerd would use decides.
      {"r.example/a", Auth([&](AuthConfig& a) {
         a.set_username("u"), a.set_password("p"), a.set_identity_token("i"), a.set_auth(packed);
       }),
       "r.example a: user=u password=p identity= token="},
      {"r.example/a", Auth([](AuthConfig& a) {
         a.set_username("u"), a.set_password("p"), a.set_server_address("https://r.example/v1/");
       }),
       "r.example a: user=u password=p identity= token="},
      {"ubuntu", Auth([](AuthConfig& a) {
         a.set_username("u"), a.set_password("p"),
             a.set_server_address("https://index.docker.io/v1/");
       }),
       "docker.io library/ubuntu: user=u password=p identity= token="},
      {"r.example/a", Auth([](AuthConfig& a) {
         a.set_username("u"), a.set_password("p"), a.set_server_address("other.example");
       }),
       "none"},
      {"r.example/a", AuthConfig(), "none"},
      {"r.example/a", Auth([](AuthConfig& a) { a.set_username("u"); }), "none"},
  };
  for (const auto& c : cases) {
    ::runtime::v1::PullImageRequest request;
    request.mutable_image()->set_image(c.image);
    *request.mutable_auth() = c.auth;
    EXPECT_EQ(Show(ReadPullAuth(request.SerializeAsString())), c.want) << c.image;
  }
}

TEST(ReadPullAuth, RepeatsNoSecretInErrors) {
  ::runtime::v1::PullImageRequest request;
  request.mutable_image()->set_image("r.example/a");
  request.mutable_auth()->set_auth("hunter2!");
  const auto read = ReadPullAuth(request.SerializeAsString());
  EXPECT_EQ(read.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Describe(read.status()).find("hunter2"), std::string::npos);
  request.mutable_auth()->set_auth(Base64Encode(AsBytes("u:hunter2")));
  request.mutable_image()->set_image("not an image");
  EXPECT_FALSE(ReadPullAuth(request.SerializeAsString()).ok());
  EXPECT_FALSE(ReadPullAuth("\x0a\xff").ok());
}

}  // namespace
}  // namespace starling::cri
