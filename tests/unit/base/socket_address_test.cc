#include "base/socket_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace starling {
namespace {

TEST(SocketAddressTest, TakesWhatPeopleWrite) {
  struct Case {
    const char* name;
    std::string text;
    std::string path;
    const char* listens_at;  // with its port replaced by P
  };
  const Case cases[] = {
      {"a unix socket", "unix:/run/x.sock", "/run/x.sock", ""},
      {"IPv4", "127.0.0.1:0", "", "127.0.0.1:P"},
      {"the usual name", "localhost:0", "", "127.0.0.1:P"},
      {"all addresses of IPv4", "0.0.0.0:0", "", "0.0.0.0:P"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto address = SocketAddress::Parse(c.text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->path(), c.path);
    if (!c.path.empty()) {
      EXPECT_EQ(address->ListenOnTcp().status().code(), StatusCode::kInvalidArgument);
      continue;
    }
    const auto socket = address->ListenOnTcp();
    ASSERT_TRUE(socket.ok()) << socket.status();
    const auto told = TcpAddressOf(socket->get());
    ASSERT_TRUE(told.ok()) << told.status();
    const std::string host = told->substr(0, told->rfind(':'));
    EXPECT_EQ(host + ":P", c.listens_at);
    // What was told can be parsed, and is in use.
    const auto again = SocketAddress::Parse(*told);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->ListenOnTcp().status().code(), StatusCode::kUnavailable);
  }
}

TEST(SocketAddressTest, TakesIpv6WhereTheMachineHasIt) {
  for (const char* text : {"[::1]:0", ":0"}) {
    SCOPED_TRACE(text);
    const auto address = SocketAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    const auto socket = address->ListenOnTcp();
    if (!socket.ok()) {
      GTEST_SKIP() << "no IPv6 here: " << socket.status();
    }
    EXPECT_THAT(*TcpAddressOf(socket->get()), testing::StartsWith("[::"));
  }
}

TEST(SocketAddressTest, KnowsWhoMayConnect) {
  for (const char* text : {"unix:/x", "127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(SocketAddress::Parse(text)->is_local()) << text;
  }
  for (const char* text : {"0.0.0.0:1", ":1", "10.0.0.1:1", "[::]:1", "[fe80::1]:1"}) {
    EXPECT_FALSE(SocketAddress::Parse(text)->is_local()) << text;
  }
}

TEST(SocketAddressTest, RefusesTheRest) {
  const std::string cases[] = {"",
                               "127.0.0.1",
                               "127.0.0.1:",
                               "127.0.0.1:65536",
                               "127.0.0.1:-1",
                               "127.0.0.1:+1",
                               "127.0.0.1:9x",
                               "host.example:80",
                               "::1:80",
                               "[::1:80",
                               "[127.0.0.1]:80",
                               "unix:",
                               "unix:relative.sock",
                               "unix:/" + std::string(200, 'x'),
                               std::string("unix:/a\0b", 9),
                               "/run/x.sock"};
  for (const std::string& text : cases) {
    SCOPED_TRACE(text);
    EXPECT_EQ(SocketAddress::Parse(text).status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace starling
