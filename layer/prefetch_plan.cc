#include "layer/prefetch_plan.h"

#include <algorithm>
#include <utility>

namespace starling::layer {
namespace {

/// Steps are measured before they are compressed, requests after.
constexpr uint64_t kTypicalRatio = 3;

}  // namespace

PrefetchPlan::PrefetchPlan(const AccessProfile& profile, std::shared_ptr<FetchScheduler> scheduler)
    : scheduler_(std::move(scheduler)), steps_(InOrderOfNeed(profile)) {
  for (size_t i = 0; i < profile.layers().size(); ++i) {
    numbers_.emplace(profile.layers()[i].key, i);
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
                     layer->PreferredSource().name);
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

bool PrefetchPlan::HasLayers() {
  MutexLock lock(mutex_);
  return std::ranges::any_of(layers_, [](const auto& layer) { return !layer.expired(); });
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

PrefetchPlan::Batch PrefetchPlan::TakeBatch(uint64_t data_bytes) {
  Batch batch;
  size_t number = 0;
  uint64_t taken_bytes = 0;
  MutexLock lock(mutex_);
  while (!pending_.empty() && taken_bytes < data_bytes) {
    const PlannedAccess& step = steps_[*pending_.begin()];
    if (batch.layer && step.layer != number) {
      break;
    }
    if (!batch.layer) {
      number = step.layer;
      batch.layer = layers_[number].lock();
    }
    if (batch.layer) {
      batch.ranges.push_back(step.range);
      taken_bytes += step.range.size_bytes;
    }
    pending_.erase(pending_.begin());
  }
  return batch;
}

}  // namespace starling::layer
