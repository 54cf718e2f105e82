#include "control/credentials_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "control/remote_credentials.h"
#include "snapshotter/grpc_server.h"

namespace starling::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class CredentialsServiceTest : public testing::Test {
 protected:
  Status Give(const std::string& registry, const std::string& repository) {
    return RememberSecret(directory_.path() / "s.sock", registry, repository, "me:hunter2");
  }

  TempDir directory_ = *TempDir::Make("/tmp", "credentials-");
  std::vector<std::string> kept_;
  Status answer_;
  CredentialsService service_{[this](const std::string& registry, const std::string& repository,
                                     const std::string& secret) {
    kept_ = {registry, repository, secret};
    return answer_;
  }};
  std::unique_ptr<snapshotter::GrpcServer> server_ = *snapshotter::GrpcServer::Start(
      {}, *snapshotter::UnixListener::Bind(directory_.path() / "s.sock"), {&service_});
};

TEST_F(CredentialsServiceTest, HandsOnWhatItIsTold) {
  ASSERT_TRUE(Give("r.example:5000", "me/app").ok());
  EXPECT_THAT(kept_, ElementsAre("r.example:5000", "me/app", "me:hunter2"));
  answer_ = MakeError(StatusCode::kInvalidArgument, "it is no secret");
  const Status refused = Give("r.example", "me/app");
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(refused), "it is no secret");
}

TEST_F(CredentialsServiceTest, RefusesWhatIsNoRepository) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "me/app"},          {"r.example", ""},
      {"r.example", "../x"},   {"r.example", "me/app:tag"},
      {"r.example/me", "app"}, {"docker.io", "ubuntu"}};
  for (const auto& [registry, repository] : cases) {
    EXPECT_EQ(Give(registry, repository).code(), StatusCode::kInvalidArgument)
        << registry << " " << repository;
  }
  EXPECT_TRUE(kept_.empty());
}

TEST_F(CredentialsServiceTest, SaysWhenNobodyIsThere) {
  const Status away = RememberSecret(directory_.path() / "other.sock", "r", "me/app", "me:hunter2");
  EXPECT_EQ(away.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(away)), HasSubstr("other.sock"));
  EXPECT_THAT(std::string(MessageOf(away)), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace starling::control
