#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "layer/chunk_marks.h"
#include "layer/chunk_table.h"
#include "layer/container_waits.h"
#include "layer/counters.h"
#include "layer/slow_reads.h"

namespace starling::layer {

/// What became of one layer's bytes, since this process opened it.
struct LayerUse {
  struct Fetched {  // over the network, compressed
    uint64_t requests = 0;
    uint64_t bytes = 0;
    friend bool operator==(const Fetched&, const Fetched&) = default;
  };
  struct Came {  // of files' content
    uint64_t bytes = 0;
    uint64_t needed_bytes = 0;  // of them, that somebody read, before or later
    friend bool operator==(const Came&, const Came&) = default;
  };
  struct Stalls {
    uint64_t reads = 0;  // that waited
    uint64_t failed = 0;
    ReadTimes times;              // of all
    std::vector<SlowRead> worst;  // longest first
    friend bool operator==(const Stalls&, const Stalls&) = default;
  };

  struct WaitingRead {
    DataRange range;
    ReadTimes::Duration waited{};
    std::string container;  // of who waits; empty: none, or unknown
    friend bool operator==(const WaitingRead&, const WaitingRead&) = default;
  };
  struct Waiting {
    uint64_t reads = 0;                // now
    std::vector<WaitingRead> longest;  // longest first
    friend bool operator==(const Waiting&, const Waiting&) = default;
  };

  /// A stretch of files' content; all of a layer's are of one size, within a byte.
  struct Part {
    uint64_t total_bytes = 0;
    uint64_t held_bytes = 0;
    uint64_t needed_bytes = 0;  // that somebody read
    friend bool operator==(const Part&, const Part&) = default;
  };
  static constexpr size_t kParts = 64;

  uint64_t blob_bytes = 0;       // compressed
  uint64_t held_blob_bytes = 0;  // of its members of which everything is held
  uint64_t total_bytes = 0;      // of files' content, as all that follows
  uint64_t held_bytes = 0;
  uint64_t needed_bytes = 0;  // that somebody read, with what the kernel read ahead
  uint64_t wasted_bytes = 0;  // that came and nobody has read until now
  std::array<Fetched, kPurposes.size()> fetched{};
  std::array<Came, kPurposes.size()> came{};
  std::vector<Part> parts;  // in the order of the data: kParts, or one for each byte
  Stalls stalls;
  Waiting waiting;

  uint64_t fetched_bytes() const;
  friend bool operator==(const LayerUse&, const LayerUse&) = default;
};

/// Notes for one layer what LayerUse tells. A byte and a bit are held for each chunk.
/// Threads: safe; what is called for every read is lock-free.
class LayerTally {
 public:
  static constexpr size_t kWorst = 8;

  explicit LayerTally(size_t chunks);

  void OnRequest(Purpose purpose);
  void OnBytes(Purpose purpose, uint64_t size_bytes);
  /// What came before there was this object.
  void OnOpened(uint64_t requests, uint64_t size_bytes);
  /// A chunk was asked for by a reader.
  void OnNeeded(uint32_t chunk) noexcept { needed_.Set(chunk); }
  /// A chunk that was fetched for `purpose` is held; the first time counts.
  void OnCame(uint32_t chunk, Purpose purpose);
  /// A read begins to wait, and has waited; `id` is the same, and no other's meanwhile.
  /// `asker` may be null.
  void OnWaits(const void* id, DataRange range, ReadTimes::TimePoint begun,
               std::shared_ptr<ContainerWaits::Asker> asker = nullptr);
  void OnWaited(const void* id, const SlowRead& read);

  /// `is_present` tells of a chunk whether it is held.
  LayerUse Use(const ChunkTable& table, const std::function<bool(uint32_t chunk)>& is_present,
               ReadTimes::TimePoint now) const;

 private:
  struct Begun {
    DataRange range;
    ReadTimes::TimePoint at;
    std::shared_ptr<ContainerWaits::Asker> asker;
  };
  struct Fetched {
    std::atomic<uint64_t> requests = 0;
    std::atomic<uint64_t> bytes = 0;
  };
  std::array<Fetched, kPurposes.size()> fetched_;
  ChunkMarks needed_;
  std::vector<std::atomic<uint8_t>> came_;  // a Purpose plus 1; 0: not in this process
  mutable Mutex mutex_;                     // leaf
  LayerUse::Stalls stalls_ GUARDED_BY(mutex_);
  std::map<const void*, Begun> waiting_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
