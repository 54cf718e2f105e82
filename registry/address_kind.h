#pragma once

#include <sys/socket.h>

#include <string_view>

namespace starling::registry {

/// What an address is near to.
enum class AddressKind {
  kOrdinary,
  kLoopback,
  /// Nobody's on the Internet, but answered to anybody on this machine or its link: link-local
  /// addresses, the metadata services of clouds, 0.0.0.0, multicast.
  kLocal,
};

/// An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) counts as itself.
AddressKind KindOf(const sockaddr& address);
/// Of a URL's host. A name is ordinary but for localhost: what it stands for is seen when it is
/// connected to.
AddressKind KindOf(std::string_view host);

}  // namespace starling::registry
