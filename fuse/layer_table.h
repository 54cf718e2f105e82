#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "layer/lazy_layer.h"

namespace starling::fuse {

/// The layers that one mount shows, by number. Threads: safe.
class LayerTable {
 public:
  /// kInvalidArgument for a number outside 1 to kMaxLayerNumber;
  /// kAlreadyExists.
  Status Add(uint64_t number, std::shared_ptr<layer::LazyLayer> layer);
  /// Shows `layer` where the same layer was shown with files that can no longer be read.
  void Replace(uint64_t number, std::shared_ptr<layer::LazyLayer> layer);
  /// The layer that was shown, or null.
  std::shared_ptr<layer::LazyLayer> Remove(uint64_t number);
  std::shared_ptr<layer::LazyLayer> Find(uint64_t number) const;
  /// Ascending.
  std::vector<uint64_t> Numbers() const;

 private:
  mutable Mutex mutex_;  // leaf
  std::map<uint64_t, std::shared_ptr<layer::LazyLayer>> layers_ GUARDED_BY(mutex_);
};

}  // namespace starling::fuse
