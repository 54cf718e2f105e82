#pragma once

#include <cstdint>
#include <vector>

#include "oci/blob_reader.h"

namespace starling::layer {

/// Guesses from the misses of one layer what will be missed next. Builders write a directory's
/// files, and those of its neighbours, one after the other, so what lies around a miss in the blob
/// is likely to be read soon: the more so, the more misses there were near by, and behind a run of
/// misses that go on where the earlier ones left off. Threads: one at a time.
class MissRuns {
 public:
  /// Notes a miss of `missed`. Returns what of the blob is worth fetching because of it, in units
  /// of `unit_bytes` (what the link moves in a round trip): one onwards and one before, four when
  /// there was a miss within 8 units; for a run that goes on, twice as much each time, up to 8, and
  /// nothing before it. It may go past the blob's end.
  oci::BlobRange Note(oci::BlobRange missed, uint64_t unit_bytes);
  /// Where the runs end, the latest first: places to go on from when there is nothing better to do.
  std::vector<uint64_t> Ends() const;

 private:
  struct Run {
    uint64_t blob_offset = 0;  // of its latest miss
    uint64_t blob_end = 0;     // of what was worth fetching
    uint64_t units = 1;
  };
  std::vector<Run> runs_;  // the latest first
};

}  // namespace starling::layer
