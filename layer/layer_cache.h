#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "layer/cache.h"
#include "layer/lazy_layer.h"
#include "layer/pins.h"
#include "store/layer_store.h"

namespace starling::layer {

/// The cache of the process that has the store open.
class LayerCache : public Cache {
 public:
  struct OpenLayer {
    std::shared_ptr<LazyLayer> layer;
    bool is_shown = false;
    std::set<std::string> images;
  };
  struct Dependencies {
    store::LayerStore& layers;
    /// What is open now. Never blocks.
    std::function<std::vector<OpenLayer>()> open_layers;
    /// Removes a layer unless it is shown by now; whether it did.
    std::function<StatusOr<bool>(const store::LayerKey& key)> remove;
    /// The present time, as LazyLayer::last_read has it.
    std::function<std::chrono::steady_clock::time_point()> now;
  };

  LayerCache(Dependencies dependencies, std::unique_ptr<Pins> pins)
      : dependencies_(std::move(dependencies)), pins_(std::move(pins)) {}

  StatusOr<CacheState> List() override;
  StatusOr<uint64_t> Pin(const std::string& name) override;
  StatusOr<uint64_t> Unpin(const std::string& name) override;
  StatusOr<Evicted> Evict(const oci::Digest& layer) override;
  StatusOr<Evicted> EvictTo(uint64_t disk_bytes) override;
  StatusOr<Evicted> Clear() override;
  Status Verify(const std::optional<oci::Digest>& layer, const VerifyObserver& observer) override;

  /// As layer::MakeRoom for what is open and not pinned; what is pinned fetches nothing ahead of
  /// reads any more, either.
  uint64_t MakeRoom(uint64_t wanted_bytes);

 private:
  struct Known;  // a layer with all that is known of it
  StatusOr<std::vector<Known>> FindAll();
  uint64_t DiskBytes() const { return dependencies_.layers.room().held_bytes(); }
  Status Mend(const Known& known, std::span<const uint32_t> wrong, Verification& so_far,
              const VerifyObserver& observer);

  const Dependencies dependencies_;
  const std::unique_ptr<Pins> pins_;
};

/// The cache of a store that no process uses: opens it. Nothing can be fetched, so what is wrong
/// there is only dropped. Errors as LayerStore::Open; kNotFound when `store` is not there.
StatusOr<std::unique_ptr<Cache>> OpenStoredCache(const std::filesystem::path& store,
                                                 FileSystem& files);

}  // namespace starling::layer
