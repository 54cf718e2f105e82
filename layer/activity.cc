#include "layer/activity.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace starling::layer {
namespace {

/// Numbers since a process began, by which a layer's activity is known.
struct Numbers {
  uint64_t fetched_bytes = 0;
  uint64_t stalled_reads = 0;
  uint64_t failed_reads = 0;
  ReadTimes::Duration stall_time{};

  static Numbers Of(const LayerUse& use) {
    return {.fetched_bytes = use.fetched_bytes(),
            .stalled_reads = use.stalls.reads,
            .failed_reads = use.stalls.failed,
            .stall_time = use.stalls.times.total()};
  }
  /// They only grow while a process lives.
  bool Follows(const Numbers& before) const {
    return fetched_bytes >= before.fetched_bytes && stalled_reads >= before.stalled_reads &&
           failed_reads >= before.failed_reads && stall_time >= before.stall_time;
  }
};

/// The slow reads that `before` did not know of. A trace counts all that were ever in it.
std::vector<NamedRead> NewReads(const TracedReads& before, const TracedReads& now) {
  const uint64_t known = before.forgotten + before.reads.size();
  const uint64_t all = now.forgotten + now.reads.size();
  const uint64_t added = all >= known ? all - known : all;
  const size_t kept = std::min<uint64_t>(added, now.reads.size());
  return {now.reads.end() - static_cast<ptrdiff_t>(kept), now.reads.end()};
}

ImageActivity ActivityOf(const ImageStatus& image, const std::map<store::LayerKey, Numbers>& before,
                         const std::vector<NamedRead>& new_reads) {
  const LayerUse sum = image.Sum();
  ImageActivity activity{.name = image.name,
                         .layers = image.layers.size(),
                         .total_bytes = sum.total_bytes,
                         .held_bytes = sum.held_bytes,
                         .needed_bytes = sum.needed_bytes,
                         .waiting_reads = sum.waiting.reads,
                         .longest_waits = image.LongestWaits()};
  std::set<store::LayerKey> keys;
  for (const LayerStatus& status : image.layers) {
    keys.insert(status.key);
    const Numbers now = Numbers::Of(status.use);
    const auto known = before.find(status.key);
    const Numbers then =
        known != before.end() && now.Follows(known->second) ? known->second : Numbers();
    activity.fetched_bytes += now.fetched_bytes - then.fetched_bytes;
    activity.stalled_reads += now.stalled_reads - then.stalled_reads;
    activity.failed_reads += now.failed_reads - then.failed_reads;
    activity.stall_time += now.stall_time - then.stall_time;
  }
  std::ranges::copy_if(new_reads, std::back_inserter(activity.slow_reads),
                       [&](const NamedRead& named) { return keys.contains(named.read.layer); });
  std::ranges::stable_sort(activity.slow_reads, std::greater(),
                           [](const NamedRead& named) { return named.read.times.total(); });
  activity.slow_reads.resize(std::min(activity.slow_reads.size(), LayerTally::kWorst));
  return activity;
}

}  // namespace

StatusOr<Look> LookAt(StatusSource& source, const Clock& clock) {
  Look look{.time = clock.Now(), .wall_time = clock.WallTime(), .layers = {}, .traced = {}};
  ASSIGN_OR_RETURN(look.layers, source.Layers());
  ASSIGN_OR_RETURN(look.traced, source.SlowReads());
  return look;
}

std::vector<ImageActivity> ActivityBetween(const Look& before, const Look& now) {
  std::map<store::LayerKey, Numbers> numbers;
  for (const LayerStatus& status : before.layers) {
    numbers.emplace(status.key, Numbers::Of(status.use));
  }
  const std::vector<NamedRead> new_reads = NewReads(before.traced, now.traced);
  std::vector<ImageActivity> activities;
  for (const ImageStatus& image : ByImage(now.layers)) {
    activities.push_back(ActivityOf(image, numbers, new_reads));
  }
  return activities;
}

}  // namespace starling::layer
