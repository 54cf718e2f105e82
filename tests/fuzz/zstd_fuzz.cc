// Property: decoding zstd never writes outside of what it was given, and the first bytes of frames
// are the first of all their bytes, however much room there is.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "estargz/zstd_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  // Two bytes say how much is wanted, the next two how much more room there is.
  constexpr size_t kNumberBytes = 4;
  if (size < kNumberBytes) {
    return 0;
  }
  const auto wanted_bytes = static_cast<size_t>(data[0] | data[1] << 8);
  const auto more_bytes = static_cast<size_t>(data[2] | data[3] << 8);
  const auto compressed = std::as_bytes(std::span(data, size)).subspan(kNumberBytes);
  estargz::ZstdDecoder decoder;
  Bytes room(wanted_bytes + more_bytes);
  Bytes exact(wanted_bytes);
  const Status with_room = decoder.DecodePrefix(compressed, wanted_bytes, room);
  const Status without = decoder.DecodePrefix(compressed, wanted_bytes, exact);
  if (with_room.ok() && without.ok() && !std::equal(exact.begin(), exact.end(), room.begin())) {
    std::abort();
  }
  Bytes all(wanted_bytes);
  if (decoder.DecodeAll(compressed, all).ok() && (!without.ok() || all != exact)) {
    std::abort();
  }
  return 0;
}
