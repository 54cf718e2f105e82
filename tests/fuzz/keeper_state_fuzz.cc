// Property: Decode never accepts what Encode would not write, byte for byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "keeper/state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto entries = keeper::Decode(bytes);
  if (!entries.ok()) {
    return 0;
  }
  const auto again = keeper::Encode(*entries);
  if (!again.ok() || !std::ranges::equal(*again, bytes)) {
    std::abort();
  }
  return 0;
}
