#pragma once

#include <cstdint>

namespace starling::registry {

/// How blobs are cut on their way up.
struct UploadSizes {
  /// Up to this a blob is sent with one PUT: to send it again costs little.
  uint64_t whole_bytes = 4 << 20;
  /// Larger ones are sent in chunks of this, or of what the registry wants as a minimum.
  uint64_t chunk_bytes = 64 << 20;
};

}  // namespace starling::registry
