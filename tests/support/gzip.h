/// Gzip members for tests.
#pragma once

#include <zlib.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace starling::testing_support {

/// One gzip member that decompresses to `content`.
inline std::string Gzip(std::string_view content, int level = 6) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    std::abort();
  }
  std::string member(deflateBound(&stream, content.size()) + 32, '\0');
  stream.next_in = const_cast<Bytef*>(AsUnsigned(AsBytes(content)));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(member.data());
  stream.avail_out = static_cast<uInt>(member.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) {
    std::abort();
  }
  member.resize(stream.total_out);
  deflateEnd(&stream);
  return member;
}

}  // namespace starling::testing_support
