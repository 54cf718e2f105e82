#include "control/cache_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/fake_cache.h"

namespace starling::control {
namespace {

/// What a client other than ours may send. (What ours sends: remote_cache_test.cc.)
class CacheServiceTest : public testing::Test {
 protected:
  TempDir directory_ = *TempDir::Make("/tmp", "cache-");
  testing_support::FakeCache fake_;
  CacheService service_{fake_};
  std::unique_ptr<snapshotter::GrpcServer> server_ = *snapshotter::GrpcServer::Start(
      {}, *snapshotter::UnixListener::Bind(directory_.path() / "s.sock"), {&service_});
  std::unique_ptr<v1::Cache::Stub> stub_ = v1::Cache::NewStub(grpc::CreateChannel(
      "unix:" + (directory_.path() / "s.sock").string(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context_;
};

TEST_F(CacheServiceTest, RefusesWhatIsNoDigest) {
  v1::EvictRequest request;
  request.set_layer("sha256:../../etc");
  v1::EvictResponse response;
  EXPECT_EQ(stub_->Evict(&context_, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext other;
  v1::VerifyRequest verify;
  verify.set_layer("all");
  EXPECT_EQ(stub_->Verify(&other, verify)->Finish().error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(fake_.calls.empty());
}

TEST_F(CacheServiceTest, AnEvictionOfNothingIsRefused) {
  v1::EvictResponse response;
  EXPECT_EQ(stub_->Evict(&context_, {}, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(fake_.calls.empty());
}

TEST_F(CacheServiceTest, ALongErrorIsCut) {
  fake_.error = MakeError(StatusCode::kInternal, std::string(100'000, 'x'));
  v1::PinResponse response;
  const grpc::Status status = stub_->Pin(&context_, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message().size(), 2048U);
}

TEST_F(CacheServiceTest, AMessageIsWorthSomeMebibytes) {
  for (uint64_t mebibytes = 0; mebibytes <= 100; ++mebibytes) {
    fake_.verifications.push_back({.held_bytes = 100 << 20, .checked_bytes = mebibytes << 20});
  }
  fake_.verifications.push_back(
      {.held_bytes = 100 << 20, .checked_bytes = 100 << 20, .is_done = true});
  const auto reader = stub_->Verify(&context_, {});
  v1::Verification message;
  std::vector<uint64_t> checked;
  while (reader->Read(&message)) {
    checked.push_back(message.checked_bytes() >> 20);
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_THAT(checked, testing::ElementsAre(0, 16, 32, 48, 64, 80, 96, 100));
  EXPECT_TRUE(message.done());
}

}  // namespace
}  // namespace starling::control
