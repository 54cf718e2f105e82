#pragma once

#include <chrono>
#include <cstdint>

#include "layer/chunk_table.h"
#include "layer/counters.h"
#include "layer/latest.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Requests for a layer's bytes that have ended.
struct TracedFetch {
  store::LayerKey layer;
  Purpose purpose = Purpose::kDemand;
  /// What of the layer's data was asked for, from its first file on; empty: not a part of it.
  DataRange range;
  uint64_t requests = 1;  // one, or those that opened or brought all of the layer
  uint64_t bytes = 0;     // that came, compressed
  std::chrono::system_clock::time_point sent;
  std::chrono::system_clock::time_point ended;
  bool failed = false;

  friend bool operator==(const TracedFetch&, const TracedFetch&) = default;
};

/// Of all layers of a host.
using RecentFetches = Latest<TracedFetch, 2048>;

}  // namespace starling::layer
