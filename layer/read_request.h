#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "layer/chunk_table.h"
#include "layer/container_waits.h"
#include "layer/member_store.h"
#include "layer/slow_reads.h"
#include "layer/spilled_chunks.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// Somebody who waits for members of a layer: reads bytes, or wants them on the disk.
/// Threads: safe once it waits.
class ReadRequest {
 public:
  enum class Wants { kPresence, kBytes };
  using Done = std::function<void(StatusOr<Bytes>)>;

  /// `chunks` are those of `range`.
  ReadRequest(DataRange range_in, ChunkSpan chunks_in, oci::FetchClass class_in, Wants wants_in,
              Done done_in, ReadTimes::TimePoint started_in)
      : range(range_in),
        chunks(chunks_in),
        fetch_class(class_in),
        wants(wants_in),
        started(started_in),
        done(std::move(done_in)) {}

  bool Needs(uint32_t chunk) const { return chunk >= chunks.first && chunk < chunks.last; }
  /// A reader, who is counted and traced; others prepare something.
  bool is_read() const { return wants == Wants::kBytes && fetch_class == oci::FetchClass::kDemand; }

  /// From now on it waits for that many members.
  void Await(size_t members);
  /// True when there is nothing (more) to wait for.
  bool HasCome() const;
  /// Takes what became of one of the members. True for the last one.
  bool Settle(const MemberOutcome& outcome);
  /// The first error counts.
  void Fail(const Status& error);
  /// A chunk that it needs is in memory already.
  void Take(const SpilledChunk& spilled);

  struct Result {
    Status error;
    std::vector<SpilledChunk> spilled;
  };
  /// What there is to answer with; the chunks are handed over.
  Result TakeResult();
  /// Of what came last.
  ReadTimes::Moments moments() const;

  const DataRange range;
  const ChunkSpan chunks;
  const oci::FetchClass fetch_class;
  const Wants wants;
  const ReadTimes::TimePoint started;
  const Done done;
  std::shared_ptr<ContainerWaits::Asker> asker;  // set before it waits; may be null

 private:
  mutable Mutex mutex_;  // leaf
  size_t members_left_ GUARDED_BY(mutex_) = 0;
  Status error_ GUARDED_BY(mutex_);
  ReadTimes::Moments moments_ GUARDED_BY(mutex_);
  std::vector<SpilledChunk> spilled_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
