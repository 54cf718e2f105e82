#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/layer_store.h"

namespace starling::layer {

/// What is held of one layer.
struct CachedLayer {
  store::LayerKey key;
  uint64_t held_bytes = 0;   // of its files' content
  uint64_t total_bytes = 0;  // of the same, when all of it is held
  uint64_t disk_bytes = 0;   // that its files take
  bool is_complete = false;
  bool is_shown = false;  // mounted somewhere
  /// Why nothing of it is evicted, for people; empty when it may be.
  std::vector<std::string> pins;
  std::vector<std::string> images;  // that use it, as far as they were named
  std::optional<std::chrono::seconds> since_last_read;

  friend bool operator==(const CachedLayer&, const CachedLayer&) = default;
};

struct CacheState {
  std::vector<CachedLayer> layers;
  std::vector<std::string> pins;  // images and layers, as they were pinned
  uint64_t disk_bytes = 0;
  uint64_t max_bytes = 0;  // 0: what the disk has

  friend bool operator==(const CacheState&, const CacheState&) = default;
};

/// What Evict and Clear gave up.
struct Evicted {
  uint64_t layers = 0;         // that went altogether
  uint64_t content_bytes = 0;  // of files' content
  uint64_t disk_bytes = 0;     // that the store takes now

  friend bool operator==(const Evicted&, const Evicted&) = default;
};

/// How far the verification of one layer is.
struct Verification {
  store::LayerKey key;
  uint64_t held_bytes = 0;  // to be verified
  uint64_t checked_bytes = 0;
  uint64_t wrong_chunks = 0;   // that were not what they should be, or not readable
  uint64_t mended_chunks = 0;  // of those, that were fetched again
  bool is_done = false;
  std::string problem;  // why the others were not; empty without any

  friend bool operator==(const Verification&, const Verification&) = default;
};

/// What a node holds of images, by whoever serves it. A layer is named by its blob's digest, an
/// image as it was pulled. Threads: safe. Calls block for the disk.
class Cache {
 public:
  virtual ~Cache() = default;
  virtual StatusOr<CacheState> List() = 0;
  /// Keeps what is held, now or later, of an image's layers or of one layer from being evicted,
  /// over restarts, until Unpin. How many layers that concerns now. kNotFound when nothing here has
  /// that name; Unpin: when it was not pinned.
  virtual StatusOr<uint64_t> Pin(const std::string& name) = 0;
  virtual StatusOr<uint64_t> Unpin(const std::string& name) = 0;
  /// Gives up what is held of a layer. kNotFound; kFailedPrecondition when it is pinned.
  virtual StatusOr<Evicted> Evict(const oci::Digest& layer) = 0;
  /// Gives up what was not read for longest until the store takes `disk_bytes`, or nothing more may
  /// go.
  virtual StatusOr<Evicted> EvictTo(uint64_t disk_bytes) = 0;
  /// Removes layers that nothing shows and gives up what is held of the others. Neither if pinned.
  virtual StatusOr<Evicted> Clear() = 0;
  /// Called as it gets on, and last for each layer when that is done. False ends it.
  using VerifyObserver = std::function<bool(const Verification&)>;
  /// Reads and hashes all that is held, of one layer or of all, from the disk. What is wrong is
  /// dropped, and fetched again where that is possible. kCancelled when the observer wants no more.
  virtual Status Verify(const std::optional<oci::Digest>& layer,
                        const VerifyObserver& observer) = 0;
};

}  // namespace starling::layer
