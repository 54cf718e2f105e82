#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "layer/chunk_table.h"

namespace starling::layer {

/// The digests of a layer's chunks in order: what two layers have in common is found by going
/// through both once. It only says where to look: whoever uses a match checks its bytes.
class ChunkDigests {
 public:
  struct Entry {
    std::array<uint8_t, 16> digest_prefix{};
    uint32_t chunk = 0;

    friend auto operator<=>(const Entry&, const Entry&) = default;
  };
  static_assert(sizeof(Entry) == 20);

  static ChunkDigests Of(const ChunkTable& table);
  /// As stored: magic, version, number of entries, the entries, little-endian. kDataLoss for what
  /// Serialize cannot have made.
  static StatusOr<ChunkDigests> Parse(ByteSpan bytes);
  Bytes Serialize() const;

  std::span<const Entry> entries() const { return entries_; }

 private:
  explicit ChunkDigests(std::vector<Entry> entries) : entries_(std::move(entries)) {}
  std::vector<Entry> entries_;  // ascending
};

/// Calls `shared` with each chunk of `wanted` that `held` has, too, and the first such chunk.
void ForEachShared(const ChunkDigests& wanted, const ChunkDigests& held,
                   const std::function<void(uint32_t wanted, uint32_t held)>& shared);

}  // namespace starling::layer
