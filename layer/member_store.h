#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "layer/chunk_table.h"
#include "layer/gap_log.h"
#include "layer/shared_chunks.h"
#include "layer/slow_reads.h"
#include "layer/spilled_chunks.h"
#include "store/layer_store.h"

namespace starling::layer {

/// What became of one member.
struct MemberOutcome {
  Status error;  // of the whole member
  std::vector<std::pair<uint32_t, Status>> failed_chunks;
  std::vector<SpilledChunk> spilled;
  ReadTimes::Moments moments;

  /// kDataLoss when what came is not what was promised.
  Status FirstDataLoss() const;
};

/// True when a chunk of the member is not on the disk.
bool IsAbsent(const store::StoredLayer& layer, const ChunkTable& table, uint32_t member);

/// One layer's way to the disk and back: takes members, and gives what is held of their chunks.
/// Chunks that the disk takes but does not give are fetched again, and after that kept off it.
/// Threads: safe. Calls block for the disk only.
class MemberStore {
 public:
  /// Borrows `table`, the layer's.
  MemberStore(std::shared_ptr<store::StoredLayer> stored, const ChunkTable& table)
      : stored_(std::move(stored)), table_(table) {}

  /// Keeps what of members is no chunk in `gaps`, too. Before the first Put.
  void KeepGaps(std::shared_ptr<GapLog> gaps) { gaps_ = std::move(gaps); }

  /// Decodes `compressed`, a member, as far as its absent chunks reach, verifies and stores these.
  /// What the disk does not take is spilled, verified. Errors: of DecodeMember, with the digests
  /// for kDataLoss; of chunks kDataLoss for a wrong digest.
  MemberOutcome Put(uint32_t member, ByteSpan compressed);
  /// Takes a member's absent chunks from `shared`, or from what is doubtful of this layer; how many
  /// bytes other layers had. kNotFound when nobody holds a chunk.
  StatusOr<uint64_t> Copy(uint32_t member, const SharedChunks& shared);

  bool IsAbsent(uint32_t member) const { return layer::IsAbsent(*stored_, table_, member); }
  /// True when every one of `chunks` is on the disk, or in `spilled`.
  bool HasAll(ChunkSpan chunks, std::span<const SpilledChunk> spilled) const;
  /// Fills `out`, of zeros unless `spilled` is empty, with `range`, which `chunks` are of, from the
  /// disk and from `spilled`. False when not all of it is there, was evicted meanwhile, or the disk
  /// does not give it (any more). Errors: those of StoredLayer::Read.
  StatusOr<bool> Read(DataRange range, ChunkSpan chunks, std::span<const SpilledChunk> spilled,
                      std::span<std::byte> out);
  /// True for a chunk that the disk did not give so often that it is not written there again.
  bool IsAvoided(uint32_t chunk) const;

 private:
  struct Decoded;

  StatusOr<Decoded> Decode(uint32_t member, ByteSpan compressed, uint64_t wanted_bytes) const;
  Status ReadHeld(DataRange range, ChunkSpan chunks, std::span<const SpilledChunk> spilled,
                  std::span<std::byte> out) const;
  bool DistrustUnreadable(ChunkSpan chunks, const Status& error);

  const std::shared_ptr<store::StoredLayer> stored_;
  const ChunkTable& table_;
  std::shared_ptr<GapLog> gaps_;  // null: not kept

  mutable Mutex mutex_;  // leaf
  /// How often the disk did not give a chunk.
  std::map<uint32_t, int> read_errors_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
