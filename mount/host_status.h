#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "layer/container_waits.h"
#include "layer/file_names.h"
#include "layer/latest.h"
#include "layer/recent_fetches.h"
#include "layer/slow_reads.h"
#include "layer/status.h"
#include "mount/layer_spec.h"

namespace starling::mount {

/// What a host tells of its layers, and where they note what they have to tell. Threads: safe.
class HostStatus : public layer::StatusSource {
 public:
  /// Of the layers that are shown, without the names of files.
  using LayersOf = std::function<std::vector<layer::LayerStatus>()>;
  using StartsOf = std::function<std::vector<layer::ImageStart>()>;
  HostStatus(LayersOf layers, layer::FilesOfRanges names, StartsOf starts);
  ~HostStatus() override { container_waits_->Close(); }

  StatusOr<std::vector<layer::LayerStatus>> Layers() override;
  StatusOr<layer::TracedReads> SlowReads() override;
  StatusOr<std::vector<layer::ImageStart>> Starts() override { return starts_(); }

  /// The layer is left to the client.
  void OnFallback(const LayerSpec& layer, const Status& reason);

  const std::shared_ptr<layer::SlowReads>& slow_reads() const { return slow_reads_; }
  const std::shared_ptr<layer::RecentFetches>& fetches() const { return fetches_; }
  const std::shared_ptr<layer::ContainerWaits>& container_waits() const { return container_waits_; }

 private:
  std::vector<layer::NamedRead> Named(std::span<const layer::SlowRead> reads) const;

  static constexpr size_t kFallbacks = 64;      // that are kept
  static constexpr size_t kReasonBytes = 1024;  // of each; a registry may have said it

  ThreadPool finding_{"who", 1};  // the containers of threads
  layer::Latest<layer::Fallback, kFallbacks> fallbacks_;
  const std::shared_ptr<layer::SlowReads> slow_reads_;
  const std::shared_ptr<layer::RecentFetches> fetches_;
  const std::shared_ptr<layer::ContainerWaits> container_waits_;
  const LayersOf layers_;
  const layer::FilesOfRanges names_;
  const StartsOf starts_;
};

}  // namespace starling::mount
