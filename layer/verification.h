#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/status.h"
#include "layer/chunk_table.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Reads every held chunk of `layer` from the disk, hashes it and drops it if it is not what
/// `table` says or cannot be read; what was doubtful is present or absent then. Returns the chunks
/// that were wrong. `on_checked` hears of the bytes as they are checked; false ends it with
/// kCancelled, and what was found until then is dropped. Blocks for the disk.
StatusOr<std::vector<uint32_t>> VerifyHeld(store::StoredLayer& layer, const ChunkTable& table,
                                           const std::function<bool(uint64_t bytes)>& on_checked);

}  // namespace starling::layer
