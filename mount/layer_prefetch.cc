#include "mount/layer_prefetch.h"

#include <string_view>
#include <utility>

#include "base/log.h"
#include "layer/start_files.h"

namespace starling::mount {
namespace {

/// Beside a layer in the store: how and why it is fetched as it is.
constexpr std::string_view kDecisionFile = "fetching";
constexpr uint64_t kMaxDecisionBytes = 4096;

}  // namespace

std::optional<layer::FetchDecision> LayerPrefetch::DecisionOf(const store::LayerKey& key) {
  {
    MutexLock lock(mutex_);
    if (const auto known = decisions_.find(key); known != decisions_.end()) {
      return known->second;
    }
  }
  const auto text = deps_.layers.ReadDerived(key, kDecisionFile, kMaxDecisionBytes);
  const auto kept = text.ok() ? layer::ParseFetchDecision(AsText(*text)) : text.status();
  return kept.ok() ? std::optional(*kept) : std::nullopt;
}

layer::FetchDecision LayerPrefetch::HowToFetch(const HeldLayer& held, const LayerSpec& spec,
                                               const layer::PrefetchPlan* plan) {
  const layer::ChunkTable& chunks = held.layer->chunks();
  const auto preference =
      deps_.policy.background ? deps_.policy.preference : layer::FetchPreference::kLazy;
  const store::LayerKey key = held.stored->key();
  const std::optional<layer::FetchDecision> kept = DecisionOf(key);
  if (kept && preference == layer::FetchPreference::kAuto) {
    return *kept;
  }
  layer::FetchFacts facts{.blob_bytes = chunks.blob_size_bytes(),
                          .can_be_lazy = chunks.codec() != layer::Codec::kWhole,
                          .link = deps_.scheduler.LinkTo(spec.host())};
  if (plan != nullptr && facts.can_be_lazy && chunks.data_size_bytes() > 0) {
    facts.needed_share =
        static_cast<double>(plan->NeededBytes(key)) / static_cast<double>(chunks.data_size_bytes());
  }
  const layer::FetchDecision decision = layer::DecideFetch(preference, facts);
  if (kept != decision) {
    log::Info("how a layer is fetched", {{"layer", key.layer.ToString()},
                                         {"image", spec.image},
                                         {"mode", std::string(layer::NameOf(decision.mode))},
                                         {"reason", decision.reason}});
    {
      MutexLock lock(mutex_);
      decisions_[key] = decision;
    }
    deps_.disk.Post([this, key, text = layer::ToText(decision)] {
      const Status status = deps_.layers.WriteDerived(key, kDecisionFile, AsBytes(text));
      // The layer may have gone meanwhile.
      if (!status.ok() && status.code() != StatusCode::kNotFound) {
        log::Warning("how a layer is fetched is not kept",
                     {{"layer", key.layer.ToString()}, {"error", Describe(status)}});
      }
    });
  }
  return decision;
}

void LayerPrefetch::Begin(const HeldLayer& held, const LayerSpec& spec) {
  layer::LazyLayer& layer = *held.layer;
  layer.ResumeFetchingAhead();
  const auto plan = deps_.policy.prefetch ? PlanOf(held, spec) : nullptr;
  const layer::FetchDecision decision = HowToFetch(held, spec, plan.get());
  if (decision.mode != layer::FetchMode::kLazy) {
    if (!plan) {
      BeginStartFiles(held, spec);  // the rest comes from its front, beside all other layers
    }
    if (deps_.policy.preference == layer::FetchPreference::kEager) {
      layer.Prefetch(layer.chunks().blob_size_bytes());
    } else {
      layer.PrefetchAll();
    }
  } else if (deps_.policy.prefetch && !plan) {
    const layer::ChunkTable& chunks = layer.chunks();
    const uint64_t wished =
        chunks.no_prefetch() ? 0 : spec.prefetch_bytes.value_or(deps_.policy.prefetch_bytes);
    if (const uint64_t bytes = chunks.prefetch_end().value_or(wished); bytes > 0) {
      layer.Prefetch(bytes);
    }
    if (!chunks.prefetch_end()) {
      BeginStartFiles(held, spec);
    }
  }
}

void LayerPrefetch::BeginStartFiles(const HeldLayer& held, const LayerSpec& spec) {
  const bool is_for_build = spec.reader == Reader::kBuild;
  // Who wants nothing of a layer before it is read means its image's own program, and not what is
  // fetched anyhow: of that these files are the first.
  const bool is_unwanted =
      held.layer->chunks().no_prefetch() && !is_for_build && !deps_.policy.background;
  if (!deps_.policy.prefetch || is_unwanted) {
    return;
  }
  held.layer->StartAbsent(layer::FindStartFiles(held.layer->index()), oci::FetchClass::kPrefetch,
                          deps_.scheduler.RoundTripBytes(spec.host()));
  // Of a layer that was here before a start has probably brought them, and at a restart of the node
  // nobody is to be asked.
  if (!is_for_build && deps_.policy.background && held.is_new) {
    deps_.commands.FetchFrom(held.layer, spec);
  }
}

bool LayerPrefetch::NoteReader(const LayerSpec& spec, bool is_first) {
  const store::LayerKey key = spec.key();
  MutexLock lock(mutex_);
  if (spec.reader != Reader::kBuild || !(is_first || for_builds_.contains(key))) {
    if (for_builds_.erase(key) > 0) {
      decisions_.erase(key);
    }
    return false;
  }
  for_builds_.try_emplace(key, spec);
  decisions_[key] = {.mode = layer::FetchMode::kLazy, .reason = "only builds read it"};
  return true;
}

std::optional<LayerSpec> LayerPrefetch::TakeFromBuilds(const store::LayerKey& key) {
  MutexLock lock(mutex_);
  auto spec = for_builds_.extract(key);
  if (spec.empty()) {
    return std::nullopt;
  }
  decisions_.erase(key);
  return std::move(spec.mapped());
}

void LayerPrefetch::FetchForContainers(const HeldLayer& held, const LayerSpec& spec) {
  held.layer->HoldReadahead(false);
  Begin(held, spec);
  if (deps_.policy.background) {
    held.layer->FetchAll();
  }
}

void LayerPrefetch::Forget(const store::LayerKey& key) {
  MutexLock lock(mutex_);
  decisions_.erase(key);
  for_builds_.erase(key);
}

/// The plan of the image whose layer this is, which it joins; null without a profile.
std::shared_ptr<layer::PrefetchPlan> LayerPrefetch::PlanOf(const HeldLayer& held,
                                                           const LayerSpec& spec) {
  if (!spec.manifest) {
    return nullptr;
  }
  const auto joined = deps_.plans.Join(*spec.manifest, held.layer, spec.host());
  if (!joined.ok()) {
    if (joined.status().code() != StatusCode::kNotFound) {
      log::Warning("an access profile cannot be used",
                   {{"image", spec.manifest->ToString()}, {"error", Describe(joined.status())}});
    }
    return nullptr;
  }
  if (joined->is_first) {
    log::Info("an image is prefetched by the node's profile",
              {{"image", spec.manifest->ToString()},
               {"runs", fmt::format("{}", joined->plan->runs())},
               {"needed-bytes", fmt::format("{}", joined->plan->NeededBytes())}});
  }
  return joined->plan;
}

}  // namespace starling::mount
