#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "layer/lazy_layer.h"

namespace starling::layer {

/// Gives up chunks of `layers` until `wanted_bytes` have gone: first what nobody has read since the
/// last time, then what was read, each time of the layers first that were not read for longest; of
/// one that was fetched as a whole all or nothing, which may be more than was wanted.
/// They all fetch nothing ahead of reads any more. How many bytes went; less than wanted when the
/// rest is pinned, or being fetched again as a whole. Blocks for the disk. An error of one layer's
/// files is logged and the others go on.
uint64_t MakeRoom(std::span<const std::shared_ptr<LazyLayer>> layers, uint64_t wanted_bytes);

}  // namespace starling::layer
