/// What happened at a process's layers between two looks at them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "layer/status.h"

namespace starling::layer {

/// What a StatusSource tells at one moment.
struct Look {
  std::chrono::steady_clock::time_point time;
  std::chrono::system_clock::time_point wall_time;
  std::vector<LayerStatus> layers;
  TracedReads traced;
};

StatusOr<Look> LookAt(StatusSource& source, const Clock& clock);

struct ImageActivity {
  std::string name;  // as ImageStatus'
  uint64_t layers = 0;
  // Now:
  uint64_t total_bytes = 0;
  uint64_t held_bytes = 0;
  uint64_t needed_bytes = 0;
  uint64_t waiting_reads = 0;
  std::vector<NamedWait> longest_waits;  // longest first
  // Since the look before:
  uint64_t fetched_bytes = 0;  // compressed, over the network
  uint64_t stalled_reads = 0;  // that have waited
  uint64_t failed_reads = 0;   // of them
  ReadTimes::Duration stall_time{};
  std::vector<NamedRead> slow_reads;  // longest first, LayerTally::kWorst at most

  friend bool operator==(const ImageActivity&, const ImageActivity&) = default;
};

/// By name. Nothing has happened since `before` in a layer that it does not know of, but what came
/// with it; of a process that was replaced meanwhile all of its numbers count.
std::vector<ImageActivity> ActivityBetween(const Look& before, const Look& now);

}  // namespace starling::layer
