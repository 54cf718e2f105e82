#pragma once

#include <memory>
#include <set>
#include <stop_token>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "oci/image_store.h"

namespace starling::copy {

/// Blobs that a destination can take from other repositories of its registry, taken before there is
/// an image of them to copy: of many layers that takes many round trips. What does not come so is
/// left to the copy. Threads: one; its own do the work.
class MountsAhead {
 public:
  struct Blob {
    oci::Descriptor descriptor;
    std::vector<oci::BlobOrigin> origins;
  };
  /// Begins at once. No byte of a blob is sent.
  MountsAhead(std::shared_ptr<oci::ImageDestination> destination, std::vector<Blob> blobs);
  /// Begins nothing more, and waits for the requests that are under way.
  ~MountsAhead();
  /// Those that were mounted. Waits until all have been tried.
  std::set<oci::Digest> Finish();

 private:
  void Mount(const Blob& blob);

  const std::shared_ptr<oci::ImageDestination> destination_;
  const std::vector<Blob> blobs_;
  std::stop_source stop_;
  Mutex mutex_;  // leaf
  std::set<oci::Digest> mounted_ GUARDED_BY(mutex_);
  std::unique_ptr<ThreadPool> workers_;  // last: they use the rest
};

}  // namespace starling::copy
