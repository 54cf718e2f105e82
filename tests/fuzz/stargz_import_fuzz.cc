// Property: what is imported is a configuration of ours, whatever was in the file.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/settings.h"
#include "config/stargz_import.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto imported = starling::config::ImportStargzConfig(
      std::string_view(reinterpret_cast<const char*>(data), size), "f");
  if (!imported.ok()) {
    if (!starling::MessageOf(imported.status()).starts_with("f:")) {
      std::abort();
    }
    return 0;
  }
  const auto parsed =
      starling::config::ParseSettings(starling::config::AsFile(*imported, "f"), "ours");
  if (!parsed.ok() || !parsed->warnings.empty()) {
    std::abort();
  }
  return 0;
}
