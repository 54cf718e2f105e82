#include "snapshotter/grpc_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/temp_dir.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/snapshot_fixture.h"

namespace starling::snapshotter {
namespace {

namespace pb = containerd::services::snapshots::v1;
using testing_support::LazyLabels;
using testing_support::SnapshotterLife;

class SnapshotsServiceTest : public testing::Test {
 protected:
  SnapshotsServiceTest()
      : dir_(*TempDir::Make("/tmp", "service")), life_(dir_.path() / "root"), service_(*life_) {
    const std::string socket = dir_.path() / "s.sock";
    server_ = *GrpcServer::Start({}, *UnixListener::Bind(socket), {&service_});
    client_ = pb::Snapshots::NewStub(
        grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  }

  grpc::Status Prepare(const std::string& key, const std::string& parent, const Labels& labels,
                       pb::PrepareSnapshotResponse* response = nullptr) {
    grpc::ClientContext context;
    pb::PrepareSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    request.mutable_labels()->insert(labels.begin(), labels.end());
    pb::PrepareSnapshotResponse unused;
    return client_->Prepare(&context, request, response == nullptr ? &unused : response);
  }
  pb::Info Stat(const std::string& key) {
    grpc::ClientContext context;
    pb::StatSnapshotRequest request;
    request.set_key(key);
    pb::StatSnapshotResponse response;
    EXPECT_TRUE(client_->Stat(&context, request, &response).ok());
    return response.info();
  }
  // The sizes of the messages that a List streams, and its status.
  std::pair<std::vector<int>, grpc::Status> List(const std::string& filter,
                                                 std::vector<pb::Info>* infos = nullptr) {
    grpc::ClientContext context;
    pb::ListSnapshotsRequest request;
    request.add_filters(filter);
    const auto reader = client_->List(&context, request);
    std::vector<int> sizes;
    pb::ListSnapshotsResponse message;
    while (reader->Read(&message)) {
      sizes.push_back(message.info_size());
      if (infos != nullptr) {
        infos->insert(infos->end(), message.info().begin(), message.info().end());
      }
    }
    return {sizes, reader->Finish()};
  }

  TempDir dir_;
  SnapshotterLife life_;
  SnapshotsService service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<pb::Snapshots::Stub> client_;
};

TEST_F(SnapshotsServiceTest, PreparesAndAnswersMounts) {
  pb::PrepareSnapshotResponse response;
  ASSERT_TRUE(Prepare("a", "", {{"x", "1"}}, &response).ok());
  ASSERT_EQ(response.mounts_size(), 1);
  EXPECT_EQ(response.mounts(0).type(), "bind");
  EXPECT_EQ(response.mounts(0).source(), life_.root() / "s/1/fs");
  EXPECT_EQ(response.mounts(0).options_size(), 2);
  EXPECT_EQ(Stat("a").kind(), pb::ACTIVE);
  EXPECT_EQ(Stat("a").labels().at("x"), "1");
}

TEST_F(SnapshotsServiceTest, TimesSurviveBitForBit) {
  ASSERT_TRUE(Prepare("a", "", {}).ok());
  const Info stored = *life_->Stat("a");
  const pb::Info info = Stat("a");
  EXPECT_EQ(info.created_at().seconds() * 1'000'000'000 + info.created_at().nanos(),
            stored.created.time_since_epoch().count());
  std::vector<pb::Info> listed;
  ASSERT_TRUE(List("", &listed).second.ok());
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].SerializeAsString(), info.SerializeAsString());
}

TEST_F(SnapshotsServiceTest, ALazyLayerIsAnsweredWithAlreadyExists) {
  EXPECT_EQ(Prepare("extract", "", LazyLabels("one")).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  std::vector<pb::Info> listed;
  ASSERT_TRUE(List("labels.\"containerd.io/snapshot.ref\"==one,parent==\"\"", &listed).second.ok());
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].kind(), pb::COMMITTED);
}

TEST_F(SnapshotsServiceTest, LogsWhyALayerIsNotLazyOnce) {
  life_.layers().FailMounts(MakeError(StatusCode::kUnavailable, "the registry is away"));
  testing::internal::CaptureStderr();
  EXPECT_TRUE(Prepare("extract", "", LazyLabels("one")).ok());
  const std::string log = testing::internal::GetCapturedStderr();
  const size_t line = log.find("\"remote-snapshot-prepared\":\"false\"");
  ASSERT_NE(line, std::string::npos) << log;
  EXPECT_EQ(log.find("remote-snapshot-prepared", line + 10), std::string::npos);
  EXPECT_NE(log.find("\"level\":\"warning\""), std::string::npos);
  EXPECT_NE(log.find("the registry is away"), std::string::npos);
  EXPECT_NE(log.find("\"key\":\"extract\""), std::string::npos);
}

TEST_F(SnapshotsServiceTest, ListsAHundredAMessage) {
  EXPECT_EQ(List("").first, std::vector<int>{});
  for (int i = 0; i < 201; ++i) {
    ASSERT_TRUE(life_->View("v" + std::to_string(i), "", {}).ok());
  }
  EXPECT_EQ(List("").first, (std::vector<int>{100, 100, 1}));
  EXPECT_EQ(List("name~=^v.$").first, std::vector<int>{10});
}

TEST_F(SnapshotsServiceTest, WhoListsAllDoesNotSeeClientsWithoutNamesOfTheirOwn) {
  ASSERT_TRUE(Prepare("default/1/a", "", {}).ok());
  ASSERT_TRUE(Prepare("standalone/1f/a", "", {}).ok());
  std::vector<pb::Info> all;
  ASSERT_TRUE(List("", &all).second.ok());
  EXPECT_EQ(all.size(), 1) << "who removes what he does not know does not see it";
  EXPECT_EQ(List("name~=|^standalone/1f/|").first, std::vector<int>{1});
}

TEST_F(SnapshotsServiceTest, ABadFilterIsTheClientsMistake) {
  EXPECT_EQ(List("bad filter ===").second.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(SnapshotsServiceTest, ALongMistakeFitsInItsHeader) {
  const grpc::Status status = Prepare("a", std::string(100'000, 'x'), {});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_LE(status.error_message().size(), 2048U);
}

TEST_F(SnapshotsServiceTest, CommitUpdateUsageRemoveCleanup) {
  ASSERT_TRUE(Prepare("a", "", {}).ok());
  google::protobuf::Empty empty;
  {
    grpc::ClientContext context;
    pb::CommitSnapshotRequest request;
    request.set_key("a");
    request.set_name("A");
    ASSERT_TRUE(client_->Commit(&context, request, &empty).ok());
  }
  {
    grpc::ClientContext context;
    pb::UpdateSnapshotRequest request;
    request.mutable_info()->set_name("A");
    (*request.mutable_info()->mutable_labels())["containerd.io/x"] = "1";
    request.mutable_update_mask()->add_paths("labels.containerd.io/x");
    pb::UpdateSnapshotResponse response;
    ASSERT_TRUE(client_->Update(&context, request, &response).ok());
    EXPECT_EQ(response.info().labels().at("containerd.io/x"), "1");
  }
  {
    grpc::ClientContext context;
    pb::UsageRequest request;
    request.set_key("A");
    pb::UsageResponse response;
    ASSERT_TRUE(client_->Usage(&context, request, &response).ok());
    EXPECT_EQ(response.inodes(), 1);
  }
  {
    grpc::ClientContext context;
    pb::RemoveSnapshotRequest request;
    request.set_key("A");
    ASSERT_TRUE(client_->Remove(&context, request, &empty).ok());
  }
  {
    grpc::ClientContext context;
    ASSERT_TRUE(client_->Cleanup(&context, {}, &empty).ok());
  }
  EXPECT_FALSE(std::filesystem::exists(life_.root() / "s/1"));
}

}  // namespace
}  // namespace starling::snapshotter
