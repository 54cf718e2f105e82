#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/status.h"

struct inflate_state;  // NOLINT(readability-identifier-naming): of ISA-L

namespace starling::estargz {

/// Inflates gzip members in a row, and the zeros that may follow them as from a tape, with ISA-L:
/// twice as fast as zlib. Threads: one at a time.
class GzipStream {
 public:
  struct Step {
    size_t consumed_bytes = 0;  // of the input
    size_t produced_bytes = 0;  // written to the output
  };

  GzipStream();
  GzipStream(GzipStream&&) noexcept;
  GzipStream& operator=(GzipStream&&) noexcept;
  ~GzipStream();

  /// Goes on with the bytes that follow; `in` is empty at the end of the input only. Neither
  /// consumes nor produces anything once all is done. kDataLoss for broken or cut off input.
  StatusOr<Step> Inflate(ByteSpan in, std::span<std::byte> out);

  /// False before the first byte, between two members and after the last one.
  bool in_member() const { return in_member_; }
  /// How many bits before the end of what was consumed the header of a deflate block begins, when
  /// the input so far ends in one and all output up to it was produced. Nothing elsewhere; a
  /// header that was consumed whole is not seen.
  std::optional<uint32_t> BitsSinceBlock() const;

  /// Goes on as at the start of the first member.
  void BeginAtMember();
  /// Goes on in the middle of a member as if all before had been read: at the header of a block
  /// whose first `bit_count` (0 to 7) bits are the low ones of `bits`, `window` being what was
  /// decoded before it. The member's checksum is then not verified.
  void BeginAtBlock(uint32_t bits, uint32_t bit_count, ByteSpan window);

 private:
  void BeginMember();

  std::unique_ptr<inflate_state> state_;  // 90 KB: too large for a stack
  bool in_member_ = false;
  bool began_at_block_ = false;
  bool only_padding_left_ = false;
  size_t trailer_left_ = 0;  // of a member that was not begun at its start
};

}  // namespace starling::estargz
