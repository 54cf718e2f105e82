#include "layer/prefetch_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace starling::layer {
namespace {

/// Steps are measured before they are compressed, requests after.
constexpr uint64_t kTypicalRatio = 3;
/// So many times what the link moves in a round trip is one request where steps lie close together.
constexpr uint64_t kUnitsOfRequest = 4;
/// Steps that are farther apart than that part of a round trip's bytes are no request together, see
/// LazyLayer::StartAbsent.
constexpr uint64_t kGapPart = 4;

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
  {
    MutexLock lock(mutex_);
    layers_[number->second] = layer;
    for (size_t step = 0; step < steps_.size(); ++step) {
      if (steps_[step].layer == number->second) {
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
    const Batch batch = TakeBatch(kTypicalRatio * size_bytes);
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
    for (const size_t step : AroundStep(first, unit_bytes)) {
      batch.ranges.push_back(steps_[step].range);
      pending_.erase(step);
    }
    return batch;
  }
  return {};
}

/// The step, and pending ones of its layer beside it, the nearest first, as far as they are one
/// request.
std::vector<size_t> PrefetchPlan::AroundStep(size_t step, uint64_t unit_bytes) const {
  const std::vector<size_t>& steps = by_address_[steps_[step].layer];
  const auto range_at = [&](size_t place) { return steps_[steps[place]].range; };
  constexpr uint64_t kTooFar = UINT64_MAX;
  const auto gap_before = [&](size_t place) {
    return range_at(place).data_address - range_at(place - 1).end();
  };
  std::vector<size_t> around = {step};
  size_t first = places_[step];
  size_t last = first + 1;  // one past
  for (;;) {
    const uint64_t before =
        first > 0 && pending_.contains(steps[first - 1]) ? gap_before(first) : kTooFar;
    const uint64_t after =
        last < steps.size() && pending_.contains(steps[last]) ? gap_before(last) : kTooFar;
    if (std::min(before, after) > unit_bytes / kGapPart) {
      return around;
    }
    const size_t place = before < after ? first - 1 : last;
    const uint64_t begin = range_at(std::min(place, first)).data_address;
    if (range_at(std::max(place, last - 1)).end() - begin > kUnitsOfRequest * unit_bytes) {
      return around;
    }
    around.push_back(steps[place]);
    first = std::min(place, first);
    last = std::max(place + 1, last);
  }
}

}  // namespace starling::layer
