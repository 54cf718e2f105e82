#pragma once

#include <cstdint>
#include <vector>

namespace starling::layer {

/// Guesses from the misses of one layer what will be missed next. Builders write a directory's
/// files one after the other, so what follows a miss in the blob is likely to be read soon; and the
/// longer a run of misses goes on, the more of what follows it is worth fetching. Threads: one at a
/// time.
class MissRuns {
 public:
  /// Notes a miss of `blob_offset` to `blob_end`. Returns up to where the blob is worth fetching:
  /// `unit_bytes` from the miss on (what the link moves in a round trip), and twice as much with
  /// each miss that goes on where an earlier one left off, up to 8 units.
  uint64_t Note(uint64_t blob_offset, uint64_t blob_end, uint64_t unit_bytes);
  /// Where the runs end, the latest first: places to go on from when there is nothing better to do.
  std::vector<uint64_t> Ends() const;

 private:
  struct Run {
    uint64_t blob_end = 0;
    uint64_t units = 1;
  };
  std::vector<Run> runs_;  // the latest first
};

}  // namespace starling::layer
