#include "control/status_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/fake_status.h"

namespace starling::control {
namespace {

/// What a client other than ours may do. (What ours does: remote_status_test.cc.)
class StatusServiceTest : public testing::Test {
 protected:
  TempDir directory_ = *TempDir::Make("/tmp", "status-");
  testing_support::FakeStatus fake_;
  StatusService service_{fake_};
  std::unique_ptr<snapshotter::GrpcServer> server_ = *snapshotter::GrpcServer::Start(
      {}, *snapshotter::UnixListener::Bind(directory_.path() / "s.sock"), {&service_});
  std::unique_ptr<v1::Status::Stub> stub_ = v1::Status::NewStub(grpc::CreateChannel(
      "unix:" + (directory_.path() / "s.sock").string(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context_;
};

TEST_F(StatusServiceTest, WhoReadsHalfAndGoesDoesNoHarm) {
  fake_.layers.assign(5000, testing_support::SomeLayer(1, {std::string(1000, 'i')}));
  {
    const auto reader = stub_->Layers(&context_, {});
    v1::LayerStatus first;
    ASSERT_TRUE(reader->Read(&first));
    context_.TryCancel();
    EXPECT_FALSE(reader->Finish().ok());
  }
  grpc::ClientContext other;
  const auto reader = stub_->SlowReads(&other, {});
  v1::SlowReadsPart part;
  EXPECT_TRUE(reader->Read(&part));
  EXPECT_FALSE(part.has_read());
  EXPECT_FALSE(reader->Read(&part));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(StatusServiceTest, ALongErrorIsCut) {
  fake_.error = MakeError(StatusCode::kInternal, std::string(100'000, 'x'));
  const auto reader = stub_->Layers(&context_, {});
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message().size(), 2048U);
}

}  // namespace
}  // namespace starling::control
