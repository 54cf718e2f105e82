#include "containerd/channel.h"

#include <google/protobuf/empty.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "api/containerd/services/version/v1/version.grpc.pb.h"
#include "base/temp_dir.h"
#include "tests/support/fake_containerd.h"

namespace starling::containerd {
namespace {

namespace version = ::containerd::services::version::v1;

grpc::Status Ask(const std::filesystem::path& socket) {
  const auto stub = version::Version::NewStub(Dial(socket, std::chrono::milliseconds(10)));
  grpc::ClientContext context;
  version::VersionResponse answer;
  return stub->Version(&context, {}, &answer);
}

TEST(Dial, ReachesASocketByAnyPath) {
  const TempDir directory = *TempDir::Make("/tmp", "channel-");
  const std::filesystem::path socket = directory.path() / "c.sock";
  const testing_support::FakeContainerd containerd(socket.string());
  EXPECT_TRUE(Ask(socket).ok());
  EXPECT_TRUE(Ask(std::filesystem::relative(socket)).ok());
  EXPECT_EQ(Ask(directory.path() / "none").error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace starling::containerd
