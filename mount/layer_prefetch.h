#pragma once

#include <map>
#include <memory>
#include <optional>

#include "base/executor.h"
#include "base/mutex.h"
#include "layer/fetch_decision.h"
#include "layer/fetch_scheduler.h"
#include "layer/prefetch_plans.h"
#include "mount/command_files.h"
#include "mount/fetch_policy.h"
#include "mount/held_layer.h"
#include "mount/layer_spec.h"
#include "store/layer_store.h"

namespace starling::mount {

/// Begins what of open layers is to come before it is read, and knows how each is fetched and why.
/// Of layers that only builds have mounted next to nothing is, until a container is started on
/// them (docs/decisions/0052-bases-of-builds.md).
/// Threads: safe. Blocks for the disk only.
class LayerPrefetch {
 public:
  struct Dependencies {
    FetchPolicy policy;
    layer::FetchScheduler& scheduler;
    layer::PrefetchPlans& plans;
    CommandFiles& commands;
    store::LayerStore& layers;
    Executor& disk;  // writes what is decided
  };
  /// Borrows what is in `dependencies`; the tasks on `disk` use this.
  explicit LayerPrefetch(const Dependencies& dependencies) : deps_(dependencies) {}

  /// What runs needed, the layer's front, or all of it, as the policy says.
  void Begin(const HeldLayer& held, const LayerSpec& spec);
  /// What any program needs first, of which nothing but the name is known, and of a new layer for
  /// containers what the image's command names, if all is fetched in the background anyhow.
  void BeginStartFiles(const HeldLayer& held, const LayerSpec& spec);
  /// What is likely to be read by containers, and everything if that is the policy.
  void FetchForContainers(const HeldLayer& held, const LayerSpec& spec);

  /// Notes for whom a layer is mounted; `is_first`: nobody else shows it. True when only builds
  /// have mounted it since it was opened.
  bool NoteReader(const LayerSpec& spec, bool is_first);
  /// As what the layer was mounted if only builds have; from now on it is for containers, too.
  std::optional<LayerSpec> TakeFromBuilds(const store::LayerKey& key);
  /// How the layer is fetched, if that was decided: when it was first opened, and it is kept with
  /// it, so that later mounts and restarts go on alike.
  std::optional<layer::FetchDecision> DecisionOf(const store::LayerKey& key);
  /// The layer is closed.
  void Forget(const store::LayerKey& key);

 private:
  layer::FetchDecision HowToFetch(const HeldLayer& held, const LayerSpec& spec,
                                  const layer::PrefetchPlan* plan);
  std::shared_ptr<layer::PrefetchPlan> PlanOf(const HeldLayer& held, const LayerSpec& spec);

  const Dependencies deps_;
  Mutex mutex_;                                                                   // leaf
  std::map<store::LayerKey, layer::FetchDecision> decisions_ GUARDED_BY(mutex_);  // of open layers
  std::map<store::LayerKey, LayerSpec> for_builds_ GUARDED_BY(mutex_);  // that no container uses
};

}  // namespace starling::mount
