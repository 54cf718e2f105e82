#include "snapshotter/grpc_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "base/temp_dir.h"
#include "snapshotter/grpc_service.h"
#include "tests/support/snapshot_fixture.h"

namespace starling::snapshotter {
namespace {

namespace pb = containerd::services::snapshots::v1;
using testing_support::LazyLabels;
using testing_support::SnapshotterLife;

class GrpcServerTest : public testing::Test {
 protected:
  GrpcServerTest()
      : dir_(*TempDir::Make("/tmp", "server")), life_(dir_.path() / "root"), service_(*life_) {
    server_ = *GrpcServer::Start({}, *UnixListener::Bind(socket()), {&service_});
  }
  std::string socket() const { return dir_.path() / "s.sock"; }
  std::shared_ptr<grpc::Channel> Channel() {
    return grpc::CreateChannel("unix:" + socket(), grpc::InsecureChannelCredentials());
  }
  // One unary call by name, with the request's bytes as they go over the wire.
  StatusOr<std::string> Call(const std::string& method, const std::string& request) {
    grpc::GenericStub stub(Channel());
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const grpc::Slice slice(request);
    const auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    if (!status.ok()) {
      return MakeError(static_cast<StatusCode>(status.error_code()), status.error_message());
    }
    grpc::Slice bytes;
    EXPECT_TRUE(answer.DumpToSingleSlice(&bytes).ok());
    return std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }

  TempDir dir_;
  SnapshotterLife life_;
  SnapshotsService service_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(GrpcServerTest, SaysThatItIsHealthy) {
  // HealthCheckResponse{status: SERVING}
  EXPECT_EQ(*Call("/grpc.health.v1.Health/Check", ""), "\x08\x01");
}

TEST_F(GrpcServerTest, ListsItsServices) {
  // ServerReflectionRequest{list_services: "*"} on a stream of one message.
  const auto answer =
      Call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_NE(answer->find("containerd.services.snapshots.v1.Snapshots"), std::string::npos);
  EXPECT_NE(answer->find("grpc.health.v1.Health"), std::string::npos);
}

TEST_F(GrpcServerTest, RefusesAMessageOfMoreThan16MiB) {
  EXPECT_EQ(
      Call("/containerd.services.snapshots.v1.Snapshots/Stat", std::string((16 << 20) + 1, 'x'))
          .status()
          .code(),
      StatusCode::kResourceExhausted);
}

/// Whether a server at `path` says anything to a client of user `uid`: HTTP/2 begins with the
/// server's settings.
bool AnswersUser(uid_t uid, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const pid_t client = ::fork();
  if (client == 0) {
    const int fd = ::setuid(uid) == 0 ? ::socket(AF_UNIX, SOCK_STREAM, 0) : -1;
    const bool is_connected =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    char byte = 0;
    ::_exit(!is_connected ? 2 : ::read(fd, &byte, 1) == 1 ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(client, &status, 0), client);
  EXPECT_NE(status, W_EXITCODE(2, 0)) << "not connected";
  return status == 0;
}

TEST_F(GrpcServerTest, TurnsOtherUsersAway) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root, to be somebody else";
  }
  // As if an administrator had opened the way to the socket.
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0711), 0);
  ASSERT_EQ(::chmod(socket().c_str(), 0666), 0);
  EXPECT_TRUE(AnswersUser(0, socket()));
  EXPECT_FALSE(AnswersUser(65534, socket()));
}

TEST_F(GrpcServerTest, StopTakesTheSocketAwayAndEndsCallsInFlight) {
  life_.layers().HoldMounts();
  grpc::Status answer;
  std::thread pull([this, &answer] {
    const auto client = pb::Snapshots::NewStub(Channel());
    grpc::ClientContext context;
    pb::PrepareSnapshotRequest request;
    request.set_key("extract");
    const Labels labels = LazyLabels("one");
    request.mutable_labels()->insert(labels.begin(), labels.end());
    pb::PrepareSnapshotResponse response;
    answer = client->Prepare(&context, request, &response);
  });
  life_.layers().WaitForMounts(1);
  std::thread stop([this] { server_->Stop(std::chrono::milliseconds(0)); });
  pull.join();
  EXPECT_FALSE(answer.ok());
  life_.layers().LetMountsGo();
  stop.join();
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(socket()));
}

}  // namespace
}  // namespace starling::snapshotter
