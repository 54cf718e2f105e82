#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "layer/chunk_table.h"
#include "store/layer_store.h"

namespace starling::layer {

/// The chunks for which `is_wanted`, from the first on until they have `wanted_bytes`, and the
/// whole blocks of the data file that they have for themselves: what StoredLayer::Evict takes.
std::vector<store::ChunkRun> RunsOf(const ChunkTable& table,
                                    const std::function<bool(uint32_t chunk)>& is_wanted,
                                    uint64_t wanted_bytes = UINT64_MAX);

/// How large the chunks of a table are. Borrows its bytes.
store::ChunkBytes ChunkBytesOf(const ChunkTable& table);

}  // namespace starling::layer
