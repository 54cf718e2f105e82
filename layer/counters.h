/// What reads, fetches and decoding came to, for all layers of a host.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/duration_histogram.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// What bytes came over the network for.
enum class Purpose {
  kDemand,      // a reader waited; with the neighbourhood of what it asked for
  kReadahead,   // where a reader goes on
  kPrefetch,    // an access profile, a landmark, or a decision to fetch all at once
  kBackground,  // the rest, and what lies between the members
  kIndex,       // to open a layer: its tail, which may have content, and its TOC
  kWhole,       // a layer that cannot be had in pieces
};
inline constexpr std::array kPurposes{Purpose::kDemand,     Purpose::kReadahead, Purpose::kPrefetch,
                                      Purpose::kBackground, Purpose::kIndex,     Purpose::kWhole};

/// Those that FetchScheduler knows of, by the classes of its requests.
inline constexpr std::array kScheduledPurposes{Purpose::kDemand, Purpose::kReadahead,
                                               Purpose::kPrefetch, Purpose::kBackground};

/// "demand", "readahead", "prefetch", "background", "index" or "whole".
std::string_view NameOf(Purpose purpose);
Purpose PurposeOf(oci::FetchClass fetch_class);

/// Since the process began. Threads: safe, lock-free, takes no memory; of two numbers that belong
/// together one may be seen before the other.
struct FetchCounters {
  struct OfPurpose {
    std::atomic<uint64_t> requests = 0;
    std::atomic<uint64_t> bytes = 0;
    DurationHistogram durations;  // from a request to its last byte, failed ones too
  };

  void CountRequest(Purpose purpose) { CountFetches(purpose, 1, 0); }
  void CountBytes(Purpose purpose, uint64_t size_bytes) {
    bytes.fetch_add(size_bytes, std::memory_order_relaxed);
    Of(purpose).bytes.fetch_add(size_bytes, std::memory_order_relaxed);
  }
  void CountFetches(Purpose purpose, uint64_t count, uint64_t size_bytes) {
    requests.fetch_add(count, std::memory_order_relaxed);
    Of(purpose).requests.fetch_add(count, std::memory_order_relaxed);
    CountBytes(purpose, size_bytes);
  }
  OfPurpose& Of(Purpose purpose) { return by_purpose[static_cast<size_t>(purpose)]; }
  const OfPurpose& Of(Purpose purpose) const { return by_purpose[static_cast<size_t>(purpose)]; }

  // Over the network; all purposes.
  std::atomic<uint64_t> requests = 0;
  std::atomic<uint64_t> bytes = 0;
  std::array<OfPurpose, kPurposes.size()> by_purpose;
  std::atomic<uint64_t> second_requests = 0;  // for what was late
  std::atomic<uint64_t> moved_fetches = 0;    // that failed at one place and went on at another
  std::atomic<uint64_t> wrong_members = 0;    // that were not what the TOC promises, each time

  std::atomic<uint64_t> served_bytes = 0;  // to readers
  DurationHistogram held_reads;            // that the disk answered
  DurationHistogram waited_reads;          // that had to wait for bytes, failed ones too
  std::atomic<uint64_t> failed_reads = 0;
  std::atomic<uint64_t> waiting_reads = 0;  // now

  DurationHistogram decodes;                // of one member, with its verification and storing
  std::atomic<uint64_t> copied_bytes = 0;   // of content, that other layers had
  std::atomic<uint64_t> evicted_bytes = 0;  // of content
};

}  // namespace starling::layer
