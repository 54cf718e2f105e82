#pragma once

#include <functional>
#include <set>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "layer/gzip_index_store.h"
#include "mount/layer_spec.h"

namespace starling::mount {

/// Looks once for each image whether somebody attached descriptions of its plain gzip layers, and
/// keeps those that the node has none of yet. Nobody waits for it: the layers are fetched as a
/// whole meanwhile. An answer, also that there is nothing, is remembered; a failure is not.
/// Threads: safe. Nothing blocks but what runs on the executor.
class IndexFinder {
 public:
  struct Dependencies {
    /// What is attached to the image `LayerSpec::manifest` of the repository of `LayerSpec::image`;
    /// kNotFound when nothing is. Blocks for the network.
    std::function<StatusOr<std::vector<estargz::GzipLayerIndex>>(const LayerSpec& layer)> find;
    layer::GzipIndexStore& indexes;
    /// A description of the layer was found and is kept from now on.
    std::function<void(const oci::Digest& layer)> found;
    /// Joined before this goes.
    Executor& executor;
  };

  explicit IndexFinder(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  /// Looks for the descriptions of the image that `layer` is of, unless that happened or happens
  /// already, or the client has not said which image it is.
  void Ask(const LayerSpec& layer);

 private:
  void Find(const LayerSpec& layer);

  const Dependencies deps_;
  Mutex mutex_;                                     // leaf
  std::set<oci::Digest> asked_ GUARDED_BY(mutex_);  // manifests
};

}  // namespace starling::mount
