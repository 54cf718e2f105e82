// Property: a configuration is refused with its place named, or its settings are within their
// ranges.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = starling::config::ParseSettings(
      std::string_view(reinterpret_cast<const char*>(data), size), "f");
  if (!parsed.ok()) {
    if (!starling::MessageOf(parsed.status()).starts_with("f:")) {
      std::abort();
    }
    return 0;
  }
  const auto& settings = parsed->settings;
  if (settings.root.front() != '/' || settings.address.front() != '/' ||
      settings.fuse.threads < 1 || settings.fuse.threads > 256) {
    std::abort();
  }
  return 0;
}
