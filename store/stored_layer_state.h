#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/shared_mutex.h"
#include "store/data_reader.h"
#include "store/layer_directory.h"
#include "store/layer_store.h"

namespace starling::store {

/// What LayerStore gives to a StoredLayer.
struct StoredLayer::State {
  FileSystem& files;
  std::shared_ptr<const UniqueFd> store_lock;
  std::shared_ptr<RoomShare> room;
  LayerDirectory directory;
  DataReader reader;
  /// Until the file system says otherwise.
  std::atomic<bool> can_share_blocks = true;
  // Held over disk syncs: only checkpoints and a removal wait for it.
  Mutex checkpoint_mutex = {};
  bool removed GUARDED_BY(checkpoint_mutex) = false;
  bool pinned GUARDED_BY(checkpoint_mutex) = false;
  std::atomic<uint64_t> evictions = 0;
  /// One bit a chunk; empty when nothing was doubtful at the start.
  std::vector<std::atomic<uint64_t>> doubtful = {};
  std::atomic<uint64_t> doubtful_count = 0;
  /// Chunks are put by many at once, or given up by one. Held over writes to the data file, by who
  /// has to wait for them anyway. Below checkpoint_mutex.
  SharedMutex data_mutex = {};
};

}  // namespace starling::store
