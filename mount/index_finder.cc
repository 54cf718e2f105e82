#include "mount/index_finder.h"

#include "base/log.h"

namespace starling::mount {
namespace {

/// What is remembered beyond this is forgotten at once: it costs a request for each image.
constexpr size_t kMaxRemembered = 10'000;

}  // namespace

void IndexFinder::Ask(const LayerSpec& layer) {
  if (!layer.manifest) {
    return;
  }
  {
    MutexLock lock(mutex_);
    if (asked_.size() >= kMaxRemembered) {
      asked_.clear();
    }
    if (!asked_.insert(*layer.manifest).second) {
      return;
    }
  }
  deps_.executor.Post([this, layer] { Find(layer); });
}

void IndexFinder::Find(const LayerSpec& layer) {
  const auto indexes = deps_.find(layer);
  if (!indexes.ok()) {
    const bool is_answer = indexes.status().code() == StatusCode::kNotFound;
    if (!is_answer) {
      log::Warning("whether an image has gzip indexes is not known",
                   {{"image", layer.image}, {"error", Describe(indexes.status())}});
      MutexLock lock(mutex_);
      asked_.erase(*layer.manifest);
    }
    return;
  }
  for (const estargz::GzipLayerIndex& index : *indexes) {
    if (deps_.indexes.DigestOf(index.layer()).ok()) {
      continue;  // what the node has it made itself or was told to trust
    }
    if (const Status status = deps_.indexes.Add(index); !status.ok()) {
      log::Warning("a gzip index that was found is not kept",
                   {{"layer", index.layer().ToString()}, {"error", Describe(status)}});
      continue;
    }
    log::Info("a gzip index was found",
              {{"layer", index.layer().ToString()}, {"image", layer.image}});
    deps_.found(index.layer());
  }
}

}  // namespace starling::mount
