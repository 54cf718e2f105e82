#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "oci/blob_reader.h"

namespace starling::layer {

/// Guesses from the misses of one layer what will be missed next. Builders write a directory's
/// files, and those of its neighbours, one after the other, so what lies around a miss in the blob
/// is likely to be read soon: the more so, the more misses there were near by, and behind a run of
/// misses that go on where the earlier ones left off. A reader of such a run is to find no more
/// misses there, so it is followed by what it reads. Threads: one at a time.
class MissRuns {
 public:
  /// Notes a miss of `missed`. Returns what of the blob is worth fetching because of it, in units
  /// of `unit_bytes` (what the link moves in a round trip): one onwards and one before, four when
  /// there was a miss within 8 units; for a run that goes on, twice as much each time, up to 8, and
  /// nothing before it. It may go past the blob's end.
  oci::BlobRange Note(oci::BlobRange missed, uint64_t unit_bytes);
  /// What the latest miss made worth fetching ends at `blob_end`, where a member does.
  void EndLatestAt(uint64_t blob_end);
  /// Notes a read of `read`, missed or not. If that touches what AwaitedRead returned of any run,
  /// the run goes on from there without a miss: what is worth fetching is returned.
  std::optional<oci::BlobRange> NoteRead(oci::BlobRange read, uint64_t unit_bytes);
  /// The second half of what the latest run made worth fetching, if the run goes on.
  std::optional<oci::BlobRange> AwaitedRead() const;
  /// Where the runs end, the latest first: places to go on from when there is nothing better to do.
  std::vector<uint64_t> Ends() const;

 private:
  struct Run {
    uint64_t blob_offset = 0;  // of its latest miss
    uint64_t blob_end = 0;     // of what was worth fetching
    uint64_t units = 1;
    bool goes_on = false;  // where another one left off

    /// Whose read shows that what lies ahead will be needed soon.
    oci::BlobRange SecondHalf() const {
      const uint64_t half_bytes = (blob_end - blob_offset) / 2;
      return {.blob_offset = blob_end - half_bytes, .size_bytes = half_bytes};
    }
  };
  void AddLatest(const Run& run);

  std::vector<Run> runs_;  // the latest first
};

}  // namespace starling::layer
