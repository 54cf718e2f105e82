#include "layer/prefetch_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

namespace starling::layer {
namespace {

/// Steps that are farther apart than that part of a round trip's bytes are no request together, see
/// LazyLayer::StartAbsent.
constexpr uint64_t kGapPart = 4;

/// From the first to the last member that holds something of `range`.
oci::BlobRange BlobRangeOf(const ChunkTable& table, DataRange range) {
  const ChunkSpan span = table.Find(range);
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;
  for (uint32_t chunk = span.first; chunk < span.last; ++chunk) {
    const MemberRecord& member = table.members()[table.chunks()[chunk].member];
    begin = std::min(begin, member.blob_offset);
    end = std::max(end, member.end());
  }
  return {.blob_offset = std::min(begin, end), .size_bytes = end - std::min(begin, end)};
}

oci::BlobRange Union(oci::BlobRange a, oci::BlobRange b) {
  const uint64_t begin = std::min(a.blob_offset, b.blob_offset);
  return {.blob_offset = begin, .size_bytes = std::max(a.end(), b.end()) - begin};
}

}  // namespace

PrefetchPlan::PrefetchPlan(const AccessProfile& profile, std::shared_ptr<FetchScheduler> scheduler)
    : scheduler_(std::move(scheduler)), runs_(profile.runs()), steps_(InOrderOfNeed(profile)) {
  for (size_t i = 0; i < profile.layers().size(); ++i) {
    numbers_.emplace(profile.layers()[i].key, i);
  }
  by_address_.resize(profile.layers().size());
  for (size_t step = 0; step < steps_.size(); ++step) {
    by_address_[steps_[step].layer].push_back(step);
  }
  places_.resize(steps_.size());
  for (std::vector<size_t>& steps : by_address_) {
    std::ranges::sort(steps, {}, [this](size_t step) { return steps_[step].range.data_address; });
    for (size_t place = 0; place < steps.size(); ++place) {
      places_[steps[place]] = place;
    }
  }
  MutexLock lock(mutex_);
  layers_.resize(profile.layers().size());
}

void PrefetchPlan::Attach(const std::shared_ptr<LazyLayer>& layer, const std::string& host) {
  const auto number = numbers_.find(layer->key());
  if (number == numbers_.end()) {
    return;
  }
  // What is begun earlier would not be on its way, and the scheduler find room for all of it.
  layer->WhenOpen(
      [self = shared_from_this(), weak = std::weak_ptr(layer), host, number = number->second] {
        if (const auto open = weak.lock()) {
          self->Begin(number, open, host);
        }
      });
}

/// Makes the steps of a layer, which can be fetched from, work for the scheduler.
void PrefetchPlan::Begin(size_t number, const std::shared_ptr<LazyLayer>& layer,
                         const std::string& host) {
  {
    MutexLock lock(mutex_);
    layers_[number] = layer;
    for (size_t step = 0; step < steps_.size(); ++step) {
      if (steps_[step].layer == number) {
        pending_.insert(step);
      }
    }
  }
  scheduler_->Enlist(host, oci::FetchClass::kPrefetch, shared_from_this(),
                     layer->PreferredSource().image);
}

uint64_t PrefetchPlan::NeededBytes(const store::LayerKey& layer) const {
  uint64_t bytes = 0;
  if (const auto number = numbers_.find(layer); number != numbers_.end()) {
    for (const PlannedAccess& step : steps_) {
      bytes += step.layer == number->second ? step.range.size_bytes : 0;
    }
  }
  return bytes;
}

uint64_t PrefetchPlan::NeededBytes() const {
  return std::transform_reduce(steps_.begin(), steps_.end(), uint64_t{0}, std::plus<>(),
                               [](const PlannedAccess& step) { return step.range.size_bytes; });
}

bool PrefetchPlan::StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) {
  for (;;) {
    const Batch batch = TakeBatch(size_bytes);
    if (!batch.layer) {
      return false;
    }
    if (batch.layer->StartAbsent(batch.ranges, fetch_class, size_bytes)) {
      return true;
    }
  }
}

PrefetchPlan::Batch PrefetchPlan::TakeBatch(uint64_t unit_bytes) {
  MutexLock lock(mutex_);
  while (!pending_.empty()) {
    const size_t first = *pending_.begin();
    Batch batch{.layer = layers_[steps_[first].layer].lock(), .ranges = {}};
    if (!batch.layer) {
      pending_.erase(first);
      continue;
    }
    for (const size_t step : AroundStep(first, batch.layer->chunks(), unit_bytes)) {
      batch.ranges.push_back(steps_[step].range);
      pending_.erase(step);
    }
    return batch;
  }
  return {};
}

/// The step, and pending ones of its layer beside it, the nearest first, as far as they are one
/// request: a larger one would keep the next step in order of need waiting for a place on the link.
std::vector<size_t> PrefetchPlan::AroundStep(size_t step, const ChunkTable& table,
                                             uint64_t unit_bytes) const {
  const std::vector<size_t>& steps = by_address_[steps_[step].layer];
  const auto range_at = [&](size_t place) {
    return BlobRangeOf(table, steps_[steps[place]].range);
  };
  std::vector<size_t> around = {step};
  size_t first = places_[step];
  size_t last = first + 1;  // one past
  oci::BlobRange taken = range_at(first);
  const auto with = [&](size_t place)
                        EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> std::optional<oci::BlobRange> {
    if (place >= steps.size() || !pending_.contains(steps[place])) {
      return std::nullopt;
    }
    const oci::BlobRange range = range_at(place);
    const oci::BlobRange both = Union(taken, range);
    const uint64_t most_bytes =
        std::min(taken.size_bytes + range.size_bytes + unit_bytes / kGapPart, unit_bytes);
    return both.size_bytes <= most_bytes ? std::optional(both) : std::nullopt;
  };
  for (;;) {
    const auto before = first > 0 ? with(first - 1) : std::nullopt;
    const auto after = with(last);
    if (!before && !after) {
      return around;
    }
    const bool goes_back = before && (!after || before->size_bytes < after->size_bytes);
    taken = goes_back ? *before : *after;
    around.push_back(steps[goes_back ? --first : last++]);
  }
}

}  // namespace starling::layer
