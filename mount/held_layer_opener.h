#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "base/file_system.h"
#include "layer/access_recorder.h"
#include "layer/counters.h"
#include "layer/fetch_scheduler.h"
#include "layer/gzip_index_store.h"
#include "layer/kept_digests.h"
#include "mount/eager_layers.h"
#include "mount/held_layer.h"
#include "mount/host_status.h"
#include "mount/layer_places.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"
#include "store/layer_store.h"

namespace starling::mount {

/// Opens layers by what is known of them: from the store, by their TOC, by a description of a plain
/// one that the node keeps, or after all of a plain one was fetched. Knows nothing of what is open.
/// Threads: safe.
class HeldLayerOpener {
 public:
  struct Dependencies {
    /// As LayerHost::Dependencies has them.
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    std::shared_ptr<layer::AccessRecorder> recorder;  // may be null
    FileSystem& files;
    store::LayerStore& layers;
    Executor& cpu;
    Executor& disk;  // for what nobody waits for
    layer::FetchCounters& counters;
    std::shared_ptr<layer::FetchScheduler> scheduler;
    layer::GzipIndexStore& gzip_indexes;
    std::shared_ptr<EagerLayers> eager;
    std::shared_ptr<LayerPlaces> places;
    const HostStatus& traces;  // where layers note their reads
    bool records_runs = false;
    bool checks_diff_ids = false;
  };
  /// Borrows what is in `dependencies`; the tasks on `disk` use this.
  explicit HeldLayerOpener(Dependencies dependencies)
      : deps_(std::move(dependencies)), digests_(deps_.layers) {}

  /// A plain layer that the node keeps a description of is lazy by that, unless it is held as a
  /// whole. Blocks for the disk.
  LayerSpec ByItsDescription(LayerSpec spec);
  /// Keeps a description from now on: compresses and writes it on a thread that nobody waits for.
  void KeepDescription(estargz::GzipLayerIndex::Parts parts);

  enum class Network { kAllowed, kForbidden };
  /// One call for a layer at a time. Blocks for the disk and, if it is allowed, for the network.
  /// kNotFound without either; kAborted when a description of a plain layer has come meanwhile:
  /// then ByItsDescription has another answer.
  StatusOr<HeldLayer> Open(const LayerSpec& spec, Network network);
  /// A layer whose files the disk does not give any more: all of it goes, and is fetched again.
  StatusOr<HeldLayer> OpenAnew(const store::StoredLayer& damaged, const LayerSpec& spec);

 private:
  std::optional<oci::Digest> StoredDescription(const oci::Digest& layer);
  StatusOr<HeldLayer> OpenDescribed(const store::LayerKey& key);
  StatusOr<HeldLayer> OpenPlain(const LayerSpec& spec);
  StatusOr<HeldLayer> OpenWhole(std::shared_ptr<store::StoredLayer> stored, const LayerSpec& spec);
  StatusOr<HeldLayer> OpenNew(std::shared_ptr<store::StoredLayer> stored);
  StatusOr<HeldLayer> OpenStored(std::shared_ptr<store::StoredLayer> stored);
  void KeepDigests(const HeldLayer& held);

  const Dependencies deps_;
  layer::KeptDigests digests_;
};

}  // namespace starling::mount
