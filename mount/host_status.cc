#include "mount/host_status.h"

#include <utility>

#include "base/clock.h"
#include "fuse/container_of.h"

namespace starling::mount {

HostStatus::HostStatus(LayersOf layers, layer::FilesOfRanges names, StartsOf starts)
    : slow_reads_(std::make_shared<layer::SlowReads>()),
      fetches_(std::make_shared<layer::RecentFetches>()),
      container_waits_(std::make_shared<layer::ContainerWaits>(finding_, fuse::ContainerOf)),
      layers_(std::move(layers)),
      names_(std::move(names)),
      starts_(std::move(starts)) {}

StatusOr<std::vector<layer::LayerStatus>> HostStatus::Layers() {
  std::vector<layer::LayerStatus> layers = layers_();
  for (layer::LayerStatus& status : layers) {
    status.worst_reads = Named(status.use.stalls.worst);
    for (const layer::LayerUse::WaitingRead& read : status.use.waiting.longest) {
      status.waits.push_back({.read = read, .file = {}});
    }
    struct Place {
      const store::LayerKey& layer;
      layer::DataRange range;
    };
    layer::NameFiles(status.waits, names_, [&](const layer::NamedWait& wait) -> Place {
      return {status.key, wait.read.range};
    });
  }
  return layers;
}

StatusOr<layer::TracedReads> HostStatus::SlowReads() {
  const layer::SlowReads::Trace trace = slow_reads_->List();
  return layer::TracedReads{.reads = Named(trace.reads),
                            .forgotten = trace.forgotten,
                            .containers = container_waits_->List(),
                            .fallbacks = fallbacks_.List().kept};
}

void HostStatus::OnFallback(const LayerSpec& layer, const Status& reason) {
  fallbacks_.Add({.image = layer.image,
                  .layer = layer.layer,
                  .reason = MakeError(reason.code(), MessageOf(reason).substr(0, kReasonBytes)),
                  .time = SystemClock().WallTime()});
}

std::vector<layer::NamedRead> HostStatus::Named(std::span<const layer::SlowRead> reads) const {
  std::vector<layer::NamedRead> named;
  named.reserve(reads.size());
  for (const layer::SlowRead& read : reads) {
    named.push_back({.read = read, .file = {}});
  }
  layer::NameFiles(named, names_,
                   [](const layer::NamedRead& one) -> const layer::SlowRead& { return one.read; });
  return named;
}

}  // namespace starling::mount
