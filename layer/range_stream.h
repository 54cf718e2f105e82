#pragma once

#include <memory>
#include <string>

#include "base/io.h"
#include "layer/fetch_scheduler.h"
#include "oci/blob_reader.h"
#include "oci/digest.h"

namespace starling::layer {

struct FetchCounters;

/// A blob from its front to its end, with several ranges of it on their way at a time: one
/// connection seldom fills a link. As many as twice what the link moves in a round trip, within
/// bounds: while one half comes, the other is asked for. Every byte is asked for once; those of the
/// tail, not at all. Threads: one that reads; Cancel is safe.
class RangeStream : public ByteSource {
 public:
  struct Options {
    uint64_t range_bytes = 4 << 20;
    /// At least, and what an unmeasured link gets: fewer connections would slow many servers down.
    size_t ranges_in_flight = 4;
    /// At most; with `range_bytes` the memory that this takes.
    size_t max_ranges_in_flight = 8;
  };

  /// `scheduler` may be null. Borrows `counters` for the object's life.
  RangeStream(oci::OpenedBlob blob, std::string host, std::shared_ptr<FetchScheduler> scheduler,
              FetchCounters& counters, const Options& options);
  /// Bytes that still come are dropped.
  ~RangeStream() override;

  /// Errors: those of the blob's reader; kCancelled.
  StatusOr<size_t> Read(std::span<std::byte> out) override;
  /// Reads on, and waiting ones, fail with kCancelled.
  void Cancel();
  /// The digest of all bytes that were read. Call once, last.
  oci::Digest Finish() { return hash_.Finish(); }

 private:
  struct Range;
  struct Shared;
  void StartRanges();
  size_t Window();

  const std::shared_ptr<Shared> shared_;
  const std::string host_;
  const std::shared_ptr<FetchScheduler> scheduler_;
  const Options options_;
  const uint64_t ranges_end_;  // where the tail begins
  uint64_t next_offset_ = 0;   // of the next range
  Bytes tail_;
  oci::Sha256 hash_;
};

}  // namespace starling::layer
