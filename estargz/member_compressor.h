#pragma once

#include <cstddef>
#include <span>

#include "base/bytes.h"

namespace starling::estargz {

/// Makes the members of a blob, each of which decompresses by itself.
/// Threads: one call at a time; make one for each thread.
class MemberCompressor {
 public:
  virtual ~MemberCompressor() = default;
  /// The most that a member of `size_bytes` decompressed bytes takes.
  virtual size_t BoundBytes(size_t size_bytes) = 0;
  /// Writes `bytes` as one member to `out`, which has BoundBytes; returns the member's size. The
  /// member depends on the bytes and the level only.
  virtual size_t CompressMember(ByteSpan bytes, std::span<std::byte> out) = 0;
};

}  // namespace starling::estargz
