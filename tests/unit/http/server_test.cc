#include "http/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <vector>

#include "base/socket_address.h"

namespace starling::http {
namespace {

constexpr std::string_view kRequest = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

class ServerTest : public testing::Test {
 protected:
  void Serve(Server::Options options = {}, size_t page_bytes = 10) {
    auto listener = SocketAddress::Parse("127.0.0.1:0")->ListenOnTcp();
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    auto server = Server::Start(
        listener_.get(), "test",
        [page_bytes](const Request&) {
          return Answer{.headers = {}, .body = std::string(page_bytes, 'x')};
        },
        options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  UniqueFd Connect() const {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    return fd;
  }
  static void Send(const UniqueFd& connection, std::string_view text) {
    EXPECT_EQ(::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  /// All that comes until the server closes the connection.
  static std::string Receive(const UniqueFd& connection) {
    std::string all;
    char bytes[65536];
    for (;;) {
      const ssize_t count = ::recv(connection.get(), bytes, sizeof(bytes), 0);
      if (count <= 0) {
        return all;
      }
      all.append(bytes, static_cast<size_t>(count));
    }
  }

  UniqueFd listener_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, ServesOneAfterTheOther) {
  Serve();
  for (int i = 0; i < 3; ++i) {
    const UniqueFd connection = Connect();
    Send(connection, kRequest);
    EXPECT_TRUE(Receive(connection).ends_with("\r\n\r\nxxxxxxxxxx"));
  }
}

TEST_F(ServerTest, ARequestMayComeInPiecesBesideOthers) {
  Serve();
  const UniqueFd slow = Connect();
  for (const char c : kRequest.substr(0, kRequest.size() - 1)) {
    Send(slow, std::string_view(&c, 1));
  }
  const UniqueFd quick = Connect();
  Send(quick, kRequest);
  EXPECT_TRUE(Receive(quick).starts_with("HTTP/1.1 200 OK"));
  Send(slow, "\n");
  EXPECT_TRUE(Receive(slow).starts_with("HTTP/1.1 200 OK"));
}

TEST_F(ServerTest, AnAnswerLargerThanTheSocketsBufferArrivesWhole) {
  constexpr size_t kBytes = 32 << 20;
  Serve({}, kBytes);
  const UniqueFd connection = Connect();
  Send(connection, kRequest);
  const std::string answer = Receive(connection);
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, kBytes);
}

TEST_F(ServerTest, WhoSaysNothingIsLetGoAndMakesRoom) {
  Serve({.max_connections = 2, .patience = std::chrono::milliseconds(50)});
  const UniqueFd first = Connect();
  const UniqueFd second = Connect();
  const UniqueFd third = Connect();  // waits for one of them to end
  Send(third, kRequest);
  EXPECT_TRUE(Receive(third).starts_with("HTTP/1.1 200 OK"));
  EXPECT_EQ(Receive(first), "");
  EXPECT_EQ(Receive(second), "");
}

TEST_F(ServerTest, WhoGoesAwayDoesNoHarm) {
  Serve({}, 4 << 20);
  for (int i = 0; i < 20; ++i) {
    const UniqueFd connection = Connect();
    Send(connection, i % 2 == 0 ? kRequest : "GET /me");
  }
  const UniqueFd connection = Connect();
  Send(connection, kRequest);
  EXPECT_TRUE(Receive(connection).starts_with("HTTP/1.1 200 OK"));
}

TEST_F(ServerTest, EndsWhileSomebodyIsConnected) {
  Serve();
  const UniqueFd connection = Connect();
  Send(connection, "GET /me");
  server_.reset();
  listener_.Reset();  // it may still have the connection
  EXPECT_EQ(Receive(connection), "");
}

}  // namespace
}  // namespace starling::http
