// Property: a hosts.toml is refused with its place named, or every host in it has an address that
// is one, and headers that are each a line.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "registry/hosts_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto hosts = starling::registry::ParseHostsFile(
      std::string_view(reinterpret_cast<const char*>(data), size), "f");
  if (!hosts.ok()) {
    if (!starling::MessageOf(hosts.status()).starts_with("f:")) {
      std::abort();
    }
    return 0;
  }
  if (hosts->empty()) {
    std::abort();
  }
  for (const auto& host : *hosts) {
    if (host.api && !starling::registry::Url::Parse(host.api->text()).ok()) {
      std::abort();
    }
    for (const auto& header : host.headers) {
      if ((header.name + header.value).find_first_of("\r\n") != std::string::npos) {
        std::abort();
      }
    }
  }
  return 0;
}
