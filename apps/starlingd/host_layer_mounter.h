#pragma once

#include "mount/layer_host.h"
#include "snapshotter/layer_mounter.h"

namespace starling {

/// Gives the snapshotter the layers of a LayerHost. Borrows it. Threads: safe.
class HostLayerMounter final : public snapshotter::LayerMounter {
 public:
  explicit HostLayerMounter(mount::LayerHost& host) : host_(host) {}

  StatusOr<snapshotter::LayerMount> Mount(uint64_t number,
                                          const snapshotter::LayerRequest& layer) override;
  StatusOr<snapshotter::LayerMount> Restore(uint64_t number,
                                            const snapshotter::LayerRequest& layer) override;
  Status Serve() override;
  std::optional<std::filesystem::path> ShowChain(std::span<const uint64_t> numbers,
                                                 snapshotter::Reader reader) override;
  Status Discard(uint64_t number) override;
  Status DiscardOthers() override;

 private:
  mount::LayerHost& host_;
};

}  // namespace starling
