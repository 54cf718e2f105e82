#include "base/duration_histogram.h"

#include <algorithm>
#include <numeric>

namespace starling {

uint64_t DurationHistogram::Snapshot::count() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

void DurationHistogram::Observe(Duration taken) noexcept {
  taken = std::max(taken, Duration::zero());
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), taken) - kBounds.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(taken);
  sum_nanoseconds_.fetch_add(static_cast<uint64_t>(nanoseconds.count()), std::memory_order_relaxed);
}

DurationHistogram::Snapshot DurationHistogram::snapshot() const {
  Snapshot taken;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    taken.counts[bucket] = counts_[bucket].load(std::memory_order_relaxed);
  }
  taken.sum = std::chrono::nanoseconds(
      static_cast<int64_t>(sum_nanoseconds_.load(std::memory_order_relaxed)));
  return taken;
}

}  // namespace starling
