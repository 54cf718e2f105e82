#include "control/remote_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "control/status_service.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/fake_status.h"

namespace starling::control {
namespace {

using testing::HasSubstr;
using testing_support::SomeLayer;
using testing_support::SomeRead;

/// What a client gets is what the source said.
class RemoteStatusTest : public testing::Test {
 protected:
  std::string Address() const { return directory_.path() / "s.sock"; }

  TempDir directory_ = *TempDir::Make("/tmp", "status-");
  testing_support::FakeStatus fake_;
  StatusService service_{fake_};
  std::unique_ptr<snapshotter::GrpcServer> server_ =
      *snapshotter::GrpcServer::Start({}, *snapshotter::UnixListener::Bind(Address()), {&service_});
  std::unique_ptr<layer::StatusSource> remote_ = ConnectToStatus(Address());
};

TEST_F(RemoteStatusTest, TellsOfLayers) {
  layer::LayerStatus other = SomeLayer(9, {});
  other.is_whole = other.is_unseen = true;
  other.is_complete = other.is_new = false;
  other.decision.reset();
  other.places.clear();
  fake_.layers = {SomeLayer(3, {"image one", "image two"}), other};
  const auto layers = remote_->Layers();
  ASSERT_TRUE(layers.ok()) << layers.status();
  EXPECT_EQ(*layers, fake_.layers);
}

TEST_F(RemoteStatusTest, TellsOfSlowReads) {
  fake_.traced = {
      .reads = {SomeRead("/a", 1), SomeRead("", 2)},
      .forgotten = 17,
      .containers =
          {{.container = "c1", .reads = 3, .failed = 1, .times = SomeRead("", 2).read.times},
           {.container = "c2"}},
      .fallbacks = {testing_support::SomeFallback("a:1"), testing_support::SomeFallback("b:1")}};
  const auto traced = remote_->SlowReads();
  ASSERT_TRUE(traced.ok()) << traced.status();
  EXPECT_EQ(*traced, fake_.traced);
}

TEST_F(RemoteStatusTest, TellsOfStarts) {
  layer::ImageStart bare = testing_support::SomeStart("b");
  bare.needs.clear();
  bare.fetches.clear();
  bare.reads.clear();
  bare.goes_on = bare.is_cut = false;
  fake_.starts = {testing_support::SomeStart("a"), bare, testing_support::SomeStart("c")};
  const auto starts = remote_->Starts();
  ASSERT_TRUE(starts.ok()) << starts.status();
  EXPECT_EQ(*starts, fake_.starts);
}

TEST_F(RemoteStatusTest, TellsOfNothing) {
  EXPECT_TRUE(remote_->Starts()->empty());
  EXPECT_TRUE(remote_->Layers()->empty());
  fake_.traced.forgotten = 1;
  EXPECT_EQ(*remote_->SlowReads(), fake_.traced);
}

TEST_F(RemoteStatusTest, ALargeNodeFits) {
  fake_.layers.assign(2000, SomeLayer(3, {std::string(500, 'i')}));
  fake_.traced.reads.assign(1024, SomeRead(std::string(4000, 'f'), 3));
  EXPECT_EQ(remote_->Layers()->size(), 2000U);
  EXPECT_EQ(remote_->SlowReads()->reads.size(), 1024U);
}

TEST_F(RemoteStatusTest, PassesOnErrors) {
  fake_.error = MakeError(StatusCode::kInternal, "the disk is broken");
  EXPECT_EQ(remote_->Layers().status(), fake_.error);
  EXPECT_EQ(remote_->SlowReads().status(), fake_.error);
  EXPECT_EQ(remote_->Starts().status(), fake_.error);
}

TEST_F(RemoteStatusTest, NamesTheSocketThatNobodyAnswersOn) {
  const std::string nowhere = directory_.path() / "none.sock";
  const Status status = ConnectToStatus(nowhere)->Layers().status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(nowhere));
}

}  // namespace
}  // namespace starling::control
