#include "dockerfile/build/socket_relay.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "base/temp_dir.h"

namespace starling::dockerfile::build {
namespace {

/// An agent that never reads by itself, and whoever speaks to it.
class SocketRelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    agent_.Reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address(Path("agent"));
    ASSERT_EQ(::bind(agent_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
    ASSERT_EQ(::listen(agent_.get(), 128), 0);
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  static sockaddr_un Address(const std::filesystem::path& path) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
  }
  std::unique_ptr<SocketRelay> Relay(SocketRelay::Access access = {
                                         .uid = 0, .gid = 0, .mode = 0600}) {
    auto relay = SocketRelay::Listen(Path("relay"), Path("agent"), access);
    EXPECT_TRUE(relay.ok()) << relay.status();
    return *std::move(relay);
  }
  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address(Path("relay"));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  UniqueFd Accept() const { return UniqueFd(::accept(agent_.get(), nullptr, nullptr)); }
  static void Send(const UniqueFd& fd, const std::string& text) {
    ASSERT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  /// Waits for `size` bytes, or fewer at the end.
  static std::string Receive(const UniqueFd& fd, size_t size) {
    std::string text(size, '\0');
    const ssize_t got = ::recv(fd.get(), text.data(), size, MSG_WAITALL);
    text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return text;
  }

  const TempDir directory_ = *TempDir::Make("/tmp", "relay-");
  UniqueFd agent_;
};

TEST_F(SocketRelayTest, HasTheOwnerAndTheModeThatAreWanted) {
  const auto relay = Relay({.uid = 100, .gid = 102, .mode = 0741});
  struct stat attributes{};
  ASSERT_EQ(::lstat(Path("relay").c_str(), &attributes), 0);
  EXPECT_TRUE(S_ISSOCK(attributes.st_mode));
  EXPECT_EQ(attributes.st_mode & 07777U, 0741U);
  EXPECT_EQ(attributes.st_uid, 100U);
  EXPECT_EQ(attributes.st_gid, 102U);
}

TEST_F(SocketRelayTest, PassesBytesBothWaysOfSeveralConnections) {
  const auto relay = Relay();
  const UniqueFd first = Connect();
  const UniqueFd first_agent = Accept();
  const UniqueFd second = Connect();
  const UniqueFd second_agent = Accept();
  Send(first, "question");
  Send(second, "another");
  EXPECT_EQ(Receive(first_agent, 8), "question");
  EXPECT_EQ(Receive(second_agent, 7), "another");
  Send(second_agent, "b");
  Send(first_agent, "a");
  EXPECT_EQ(Receive(first, 1), "a");
  EXPECT_EQ(Receive(second, 1), "b");
}

TEST_F(SocketRelayTest, AnswersAfterTheQuestionsHaveEnded) {
  const auto relay = Relay();
  const UniqueFd step = Connect();
  UniqueFd agent = Accept();
  Send(step, "last");
  ASSERT_EQ(::shutdown(step.get(), SHUT_WR), 0);
  EXPECT_EQ(Receive(agent, 100), "last");
  Send(agent, "answer");
  agent.Reset();
  EXPECT_EQ(Receive(step, 100), "answer");
}

TEST_F(SocketRelayTest, KeepsNothingBackFromWhoReadsLate) {
  const auto relay = Relay();
  const UniqueFd step = Connect();
  const UniqueFd agent = Accept();
  const std::string large(1 << 20, 'x');
  std::thread sender([&] { Send(step, large); });
  EXPECT_EQ(Receive(agent, large.size()), large);
  sender.join();
}

TEST_F(SocketRelayTest, EndsWhileConnectionsAreOpenAndFull) {
  auto relay = Relay();
  const UniqueFd step = Connect();
  const UniqueFd agent = Accept();
  const std::string some(100'000, 'x');
  while (::send(step.get(), some.data(), some.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
  }
  relay.reset();
  char byte = 0;
  EXPECT_LE(::recv(step.get(), &byte, 1, 0), 0);
}

TEST_F(SocketRelayTest, AnAgentThatIsGoneEndsTheConnectionAlone) {
  const auto relay = Relay();
  agent_.Reset();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Receive(Connect(), 1), "");
  }
}

TEST_F(SocketRelayTest, MoreConnectionsWait) {
  const auto relay = Relay();
  std::vector<UniqueFd> steps;
  std::vector<UniqueFd> agents;
  for (size_t i = 0; i < SocketRelay::kMaxConnections; ++i) {
    steps.push_back(Connect());
    agents.push_back(Accept());
  }
  const UniqueFd late = Connect();
  Send(late, "late");
  steps.pop_back();
  agents.pop_back();
  EXPECT_EQ(Receive(Accept(), 4), "late");
}

TEST_F(SocketRelayTest, SaysWhatIsTooLong) {
  const auto refused = SocketRelay::Listen(Path(std::string(200, 'n')), Path("agent"), {});
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace starling::dockerfile::build
