#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "layer/prefetch_plan.h"
#include "layer/profile_store.h"

namespace starling::layer {

/// The one plan of each image whose layers are here and which has a profile. A plan lives as long
/// as any layer that joined it, also one of which its profile knows nothing; an image that comes
/// again after that begins anew, with the profile of then.
/// Threads: safe.
class PrefetchPlans {
 public:
  struct Joined {
    std::shared_ptr<PrefetchPlan> plan;
    bool is_first;  // of the layers that are here: the plan was made for it
  };

  /// Borrows `profiles`.
  PrefetchPlans(ProfileStore& profiles, std::shared_ptr<FetchScheduler> scheduler)
      : profiles_(profiles), scheduler_(std::move(scheduler)) {}

  /// Fetches the layer's part of the image's plan from `host` from now on. kNotFound without a
  /// profile, other errors where it cannot be used; nothing is planned then. Blocks for the disk.
  StatusOr<Joined> Join(const oci::Digest& image, const std::shared_ptr<LazyLayer>& layer,
                        const std::string& host);

 private:
  struct Entry {
    std::shared_ptr<PrefetchPlan> plan;
    std::vector<std::weak_ptr<LazyLayer>> layers;
  };

  ProfileStore& profiles_;
  const std::shared_ptr<FetchScheduler> scheduler_;
  Mutex mutex_;
  std::map<oci::Digest, Entry> plans_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
