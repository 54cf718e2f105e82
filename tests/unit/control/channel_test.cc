#include "control/channel.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "control/remote_status.h"
#include "control/status_service.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/fake_status.h"

namespace starling::control {
namespace {

TEST(ConnectTo, FindsAProcessThatComesLaterAndTheNextOne) {
  const TempDir directory = *TempDir::Make("/tmp", "channel-");
  const std::string address = directory.path() / "s.sock";
  const auto channel = ConnectTo(address);
  EXPECT_EQ(channel->GetState(/*try_to_connect=*/true), GRPC_CHANNEL_IDLE);
  testing_support::FakeStatus fake;
  StatusService service(fake);
  for (int process = 0; process < 2; ++process) {
    const auto server =
        *snapshotter::GrpcServer::Start({}, *snapshotter::UnixListener::Bind(address), {&service});
    // Longer than it takes from one try to the next.
    ASSERT_TRUE(
        channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)));
  }
}

}  // namespace
}  // namespace starling::control
