#pragma once

#include <atomic>
#include <memory>

#include "base/mutex.h"
#include "store/layer_directory.h"
#include "store/layer_store.h"

namespace starling::store {

/// What LayerStore gives to a StoredLayer.
struct StoredLayer::State {
  FileSystem& files;
  std::shared_ptr<const UniqueFd> store_lock;
  LayerDirectory directory;
  /// Until the file system says otherwise.
  std::atomic<bool> can_share_blocks = true;
  // Held over disk syncs: only checkpoints and a removal wait for it.
  Mutex checkpoint_mutex = {};
  bool removed GUARDED_BY(checkpoint_mutex) = false;
};

}  // namespace starling::store
