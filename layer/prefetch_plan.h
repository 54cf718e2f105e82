#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "layer/access_profile.h"
#include "layer/fetch_scheduler.h"
#include "layer/lazy_layer.h"

namespace starling::layer {

/// Fetches what the runs of an image needed before, in the order of their need over all of its
/// layers, as the link has room. What lies close to it in the layer and is needed later comes
/// along, because a request more costs more. Layers come one after the other; each brings its
/// steps. Threads: safe. Owned by shared_ptr only.
class PrefetchPlan : public FetchScheduler::Feed,
                     public std::enable_shared_from_this<PrefetchPlan> {
 public:
  PrefetchPlan(const AccessProfile& profile, std::shared_ptr<FetchScheduler> scheduler);

  /// Fetches its part of `layer` from `host` once that is open, as long as somebody else holds it.
  /// Does nothing for a layer that the profile does not know.
  void Attach(const std::shared_ptr<LazyLayer>& layer, const std::string& host);
  /// Of the layer's data, by all runs together.
  uint64_t NeededBytes(const store::LayerKey& layer) const;
  /// Of all layers' data.
  uint64_t NeededBytes() const;
  /// That the profile was made of.
  uint32_t runs() const { return runs_; }

 private:
  /// Steps of one layer that lie close together.
  struct Batch {
    std::shared_ptr<LazyLayer> layer;  // null: no steps are left
    std::vector<DataRange> ranges;
  };

  bool StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) override;
  void Begin(size_t number, const std::shared_ptr<LazyLayer>& layer, const std::string& host);
  Batch TakeBatch(uint64_t unit_bytes);
  std::vector<size_t> AroundStep(size_t step, const ChunkTable& table, uint64_t unit_bytes) const
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<FetchScheduler> scheduler_;
  const uint32_t runs_;
  const std::vector<PlannedAccess> steps_;
  std::map<store::LayerKey, size_t> numbers_;    // of the profile's layers
  std::vector<std::vector<size_t>> by_address_;  // the steps of each layer
  std::vector<size_t> places_;                   // of each step in there

  Mutex mutex_;  // leaf
  std::vector<std::weak_ptr<LazyLayer>> layers_ GUARDED_BY(mutex_);
  std::set<size_t> pending_ GUARDED_BY(mutex_);  // steps of the layers that are there
};

}  // namespace starling::layer
