/// Decompression by zlib, which shares no code with ours.
#pragma once

#include <zlib.h>

#include <optional>
#include <string>

#include "base/bytes.h"

namespace starling::testing_support {

/// The content of all members of a gzip stream; nothing when it is broken or something follows it.
inline std::optional<std::string> Gunzip(ByteSpan stream) {
  std::string content;
  z_stream state{};
  state.next_in = const_cast<Bytef*>(AsUnsigned(stream));
  state.avail_in = static_cast<uInt>(stream.size());
  if (inflateInit2(&state, 15 + 16) != Z_OK) {
    return std::nullopt;
  }
  bool whole = false;
  for (;;) {
    char buffer[1 << 16];
    state.next_out = reinterpret_cast<Bytef*>(buffer);
    state.avail_out = sizeof buffer;
    const int result = inflate(&state, Z_NO_FLUSH);
    content.append(buffer, sizeof buffer - state.avail_out);
    if (result == Z_STREAM_END) {
      if (state.avail_in == 0) {
        whole = true;
        break;
      }
      inflateReset(&state);
    } else if (result != Z_OK) {
      break;
    }
  }
  inflateEnd(&state);
  return whole ? std::optional(content) : std::nullopt;
}

}  // namespace starling::testing_support
