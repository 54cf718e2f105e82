#include "layer/prefetch_plans.h"

#include <utility>

namespace starling::layer {

StatusOr<PrefetchPlans::Joined> PrefetchPlans::Join(const oci::Digest& image,
                                                    const std::shared_ptr<LazyLayer>& layer,
                                                    const std::string& host) {
  Joined joined{.plan = nullptr, .is_first = false};
  {
    MutexLock lock(mutex_);
    for (auto& [_, entry] : plans_) {
      std::erase_if(entry.layers, [](const auto& member) { return member.expired(); });
    }
    std::erase_if(plans_, [](const auto& entry) { return entry.second.layers.empty(); });
    // The layer joins under the lock that found the plan: whoever comes next finds it in use.
    if (const auto known = plans_.find(image); known != plans_.end()) {
      known->second.layers.push_back(layer);
      joined.plan = known->second.plan;
    }
  }
  if (!joined.plan) {
    ASSIGN_OR_RETURN(const AccessProfile profile, profiles_.Find(image));
    MutexLock lock(mutex_);
    Entry& entry = plans_[image];
    if (!entry.plan) {
      entry.plan = std::make_shared<PrefetchPlan>(profile, scheduler_);
      joined.is_first = true;
    }
    entry.layers.push_back(layer);
    joined.plan = entry.plan;
  }
  joined.plan->Attach(layer, host);
  return joined;
}

}  // namespace starling::layer
