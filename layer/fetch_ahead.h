#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>

#include "layer/chunk_table.h"
#include "layer/fetch_plan.h"
#include "layer/miss_runs.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// What of one layer is worth fetching before anybody asks for it, and what of that comes next.
/// Threads: one at a time.
class FetchAhead {
 public:
  /// Borrows `members`.
  FetchAhead(std::span<const MemberRecord> members, uint64_t blob_size_bytes)
      : members_(members), blob_size_bytes_(blob_size_bytes) {}

  /// Notes that a miss needs `range`, whose first member is worth that: what is likely to follow is
  /// read-ahead from now on, after a miss of little worth also what else is. `unit_bytes` is what
  /// the link moves in a round trip.
  void NoteMiss(oci::BlobRange range, Worth worth, uint64_t unit_bytes);
  /// Notes a read of `range`, missed or not, in the same way: a reader who goes on is followed
  /// before the next miss. To be called when AwaitedRead was read.
  void NoteRead(oci::BlobRange range, Worth worth, uint64_t unit_bytes);
  /// Whose read is to be noted; none when no reader goes on.
  std::optional<oci::BlobRange> AwaitedRead() const { return misses_.AwaitedRead(); }
  /// Makes the members that begin in the first `blob_bytes` of the blob prefetch work.
  void Prefetch(uint64_t blob_bytes);
  /// Makes everything prefetch work, but for what is of little worth and not worth a gap between
  /// two requests.
  void PrefetchAll();
  /// Makes everything background work: what is of much worth, and the rest.
  void FetchAll();
  /// Nothing is background work until FetchAll.
  void PauseBackground() { background_ = rest_ = {}; }
  /// Nothing is worth fetching any more, nor is what others want to have ahead of reads
  /// (is_stopped), until Resume or one of the calls above.
  void Clear();
  void Resume() { is_stopped_ = false; }
  bool is_stopped() const { return is_stopped_; }
  /// Whether read-ahead waits until much was missed: for readers that are likely to read little.
  void HoldReadahead(bool is_held) { holds_readahead_ = is_held; }

  /// The next request of about `size_bytes` for members that are worth it, and their neighbours up
  /// to where the work of that class ends; none when nothing is left, nor ever for demand. The
  /// caller sees to it that its members are worth nothing from then on.
  std::optional<PlannedFetch> Next(oci::FetchClass fetch_class, uint64_t size_bytes,
                                   const WorthOf& worth_of);
  bool has_readahead() const { return !readahead_.empty() && may_read_ahead(); }
  /// False while it is held.
  bool may_read_ahead() const;
  /// Since FetchAll, until Clear.
  bool fetches_all() const { return fetches_all_; }

 private:
  struct Piece {
    oci::BlobRange range;
    bool takes_all = false;     // also what is of little worth
    bool bridges_more = false;  // of that what lies between two others, as prefetch does
  };

  void ReadAround(oci::BlobRange range, Worth worth_of_first, oci::BlobRange worth,
                  uint64_t unit_bytes);
  uint64_t EndOfMemberBefore(uint64_t blob_offset) const;
  std::optional<PlannedFetch> NextReadahead(uint64_t size_bytes, const WorthOf& worth_of);
  std::optional<PlannedFetch> NextBackground(uint64_t size_bytes, const WorthOf& worth_of);
  std::optional<PlannedFetch> NextWithin(Piece& piece, uint64_t size_bytes,
                                         const WorthOf& worth_of) const;

  const std::span<const MemberRecord> members_;
  const uint64_t blob_size_bytes_;
  MissRuns misses_;
  // What is still to be fetched of each class, by where it lies in the blob.
  std::deque<Piece> readahead_;  // the latest miss first, and what is nearest to it
  Piece prefetch_;
  Piece background_;
  Piece rest_;
  bool fetches_all_ = false;
  bool is_stopped_ = false;
  bool holds_readahead_ = false;
  int noted_misses_ = 0;
  uint64_t missed_bytes_ = 0;  // of the blob
};

}  // namespace starling::layer
