#pragma once

#include <cstdint>

#include "layer/fetch_decision.h"

namespace starling::mount {

/// What is fetched before anybody reads it.
struct FetchPolicy {
  /// What the image's access profile says that the node keeps; without one the layer's
  /// landmark, its LayerSpec or, where both are silent, `prefetch_bytes`. Without a landmark also
  /// what any program needs first, and with `background` what the image's command names.
  bool prefetch = true;
  uint64_t prefetch_bytes = 0;
  /// Keeps the seek index of each plain gzip layer that is fetched as a whole.
  bool keep_gzip_indexes = false;
  /// Everything, once nothing else is to be done.
  bool background = false;
  /// How layers that can be lazy are fetched (layer::DecideFetch); without `background`, lazily.
  layer::FetchPreference preference = layer::FetchPreference::kLazy;
  /// Adds what the first run of each image here needs to the node's profiles, for its next cold
  /// start.
  bool record_profiles = false;
  /// In bytes a second; 0 is no cap.
  uint64_t max_bytes_per_second = 0;
  uint64_t max_bytes_per_second_per_image = 0;
  uint64_t max_background_bytes_per_second = 0;
};

}  // namespace starling::mount
