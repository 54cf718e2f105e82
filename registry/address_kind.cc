#include "registry/address_kind.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "registry/url.h"

namespace starling::registry {
namespace {

using Ipv6 = std::array<uint8_t, 16>;

AddressKind KindOfIpv4(uint32_t address) {
  const auto begins = [address](uint32_t prefix, int bits) {
    return (address >> (32 - bits)) == (prefix >> (32 - bits));
  };
  if (begins(0x7f000000, 8)) {
    return AddressKind::kLoopback;
  }
  const bool is_local = begins(0xa9fe0000, 16) ||  // 169.254.0.0/16: link-local, most metadata
                        begins(0x00000000, 8) ||   // 0.0.0.0/8: this host
                        begins(0xe0000000, 3) ||   // 224.0.0.0/3: multicast, reserved, broadcast
                        address == 0x646464c8 ||   // 100.100.100.200: metadata of Alibaba Cloud
                        address == 0xa83f8110;     // 168.63.129.16: the host of an Azure machine
  return is_local ? AddressKind::kLocal : AddressKind::kOrdinary;
}

uint32_t Ipv4At(const Ipv6& bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}

bool Begins(const Ipv6& bytes, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

AddressKind KindOfIpv6(const Ipv6& bytes) {
  constexpr Ipv6 kAny{};
  constexpr Ipv6 kLoopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  constexpr Ipv6 kAwsMetadata{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
  constexpr Ipv6 kGoogleMetadata{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
  if (bytes == kLoopback) {
    return AddressKind::kLoopback;
  }
  if (bytes == kAny || bytes == kAwsMetadata || bytes == kGoogleMetadata || bytes[0] == 0xff ||
      (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)) {
    return AddressKind::kLocal;
  }
  if (Begins(bytes, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) ||     // mapped
      Begins(bytes, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}) ||  // NAT64
      Begins(bytes, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})) {           // compatible
    return KindOfIpv4(Ipv4At(bytes, 12));
  }
  if (Begins(bytes, {0x20, 0x02})) {  // 6to4
    return KindOfIpv4(Ipv4At(bytes, 2));
  }
  return AddressKind::kOrdinary;
}

}  // namespace

AddressKind KindOf(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return KindOfIpv4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    Ipv6 bytes{};
    std::memcpy(bytes.data(), v6.sin6_addr.s6_addr, bytes.size());
    return KindOfIpv6(bytes);
  }
  return AddressKind::kLocal;  // a unix socket, say: nothing that a URL should lead to
}

AddressKind KindOf(std::string_view host) {
  if (IsLoopback(host)) {
    return AddressKind::kLoopback;
  }
  const std::string name(host.substr(0, host.find('%')));  // without a zone
  in_addr v4{};
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) {
    return KindOfIpv4(ntohl(v4.s_addr));
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1) {
    Ipv6 bytes{};
    std::memcpy(bytes.data(), v6.s6_addr, bytes.size());
    return KindOfIpv6(bytes);
  }
  return AddressKind::kOrdinary;
}

}  // namespace starling::registry
