#include "registry/address_kind.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>

namespace starling::registry {
namespace {

AddressKind KindOfSocketAddress(const std::string& text) {
  sockaddr_storage storage{};
  if (text.find(':') == std::string::npos) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, text.c_str(), &v4.sin_addr), 1);
    std::memcpy(&storage, &v4, sizeof v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1);
    std::memcpy(&storage, &v6, sizeof v6);
  }
  return KindOf(reinterpret_cast<const sockaddr&>(storage));
}

TEST(AddressKind, TellsWhatIsNear) {
  const struct {
    const char* address;
    AddressKind want;
  } cases[] = {
      {"93.184.216.34", AddressKind::kOrdinary},
      {"10.0.0.1", AddressKind::kOrdinary},
      {"192.168.1.1", AddressKind::kOrdinary},
      {"169.253.255.255", AddressKind::kOrdinary},
      {"fd00::1", AddressKind::kOrdinary},
      {"2001:db8::1", AddressKind::kOrdinary},
      {"127.0.0.1", AddressKind::kLoopback},
      {"127.255.1.2", AddressKind::kLoopback},
      {"::1", AddressKind::kLoopback},
      {"::ffff:127.0.0.1", AddressKind::kLoopback},
      {"169.254.169.254", AddressKind::kLocal},
      {"169.254.0.1", AddressKind::kLocal},
      {"0.0.0.0", AddressKind::kLocal},
      {"224.0.0.1", AddressKind::kLocal},
      {"255.255.255.255", AddressKind::kLocal},
      {"100.100.100.200", AddressKind::kLocal},
      {"168.63.129.16", AddressKind::kLocal},
      {"::", AddressKind::kLocal},
      {"fe80::1", AddressKind::kLocal},
      {"febf::1", AddressKind::kLocal},
      {"ff02::1", AddressKind::kLocal},
      {"fd00:ec2::254", AddressKind::kLocal},
      {"fd20:ce::254", AddressKind::kLocal},
      {"::ffff:169.254.169.254", AddressKind::kLocal},
      {"64:ff9b::a9fe:a9fe", AddressKind::kLocal},
      {"2002:a9fe:a9fe::1", AddressKind::kLocal},
      {"::169.254.169.254", AddressKind::kLocal},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(KindOf(std::string_view(c.address)), c.want) << c.address;
    EXPECT_EQ(KindOfSocketAddress(c.address), c.want) << c.address;
  }
}

TEST(AddressKind, NamesAreOrdinaryUntilTheyAreResolved) {
  EXPECT_EQ(KindOf(std::string_view("registry.example")), AddressKind::kOrdinary);
  EXPECT_EQ(KindOf(std::string_view("localhost")), AddressKind::kLoopback);
  EXPECT_EQ(KindOf(std::string_view("fe80::1%eth0")), AddressKind::kLocal);
  sockaddr_un unix_socket{};
  unix_socket.sun_family = AF_UNIX;
  EXPECT_EQ(KindOf(reinterpret_cast<const sockaddr&>(unix_socket)), AddressKind::kLocal);
}

}  // namespace
}  // namespace starling::registry
