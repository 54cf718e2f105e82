/// Whole blobs from a registry, on threads that may block.
#pragma once

#include <chrono>
#include <memory>

#include "oci/image_store.h"
#include "registry/repository_api.h"

namespace starling::registry {

struct StreamLimits {
  /// Without a byte for this long the stream has failed.
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(300);
  /// For the requests around the stream.
  std::chrono::milliseconds request_timeout = std::chrono::seconds(30);
  int max_retries = 5;  // in a row, without a byte between them
};

/// Streams `blob` from `blob_offset` on into `sink` on the calling thread and checks its size
/// (unless that is 0: unknown) and, of a whole blob, its digest. A broken connection is resumed
/// where it broke.
Status DownloadBlob(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                    uint64_t blob_offset, ByteSink& sink, const StreamLimits& limits);

}  // namespace starling::registry
