#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "layer/fetch_scheduler.h"
#include "layer/gap_log.h"
#include "layer/idle_reader.h"
#include "layer/lazy_layer.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"
#include "store/layer_store.h"

namespace starling::mount {

/// Whether a layer is the one that its images' configurations name.
enum class DiffIdState {
  kUnknown,     // not complete, not looked at yet, or never: plain layers are not
  kMatches,     // as every image that shows it says
  kDiffers,     // from what one of them says
  kNotChecked,  // cannot be computed here, or no image says anything
};

/// Computes the diffID of layers that have become complete, once for each layer and one at a time,
/// and compares it with what the images that show the layer promise. A chain ID that the client
/// names is enough for that; without one the image's configuration is read, once an image.
///
/// What is computed is kept in the layer's directory, so it is never computed again. A difference
/// is logged, once for each image and process, and changes nothing else: what readers get is what
/// the manifest's TOC digest pins. Threads: safe. Nothing blocks but Close.
class DiffIdChecks {
 public:
  /// The file in a layer's directory with its diffID as text.
  static constexpr std::string_view kFileName = "diffid";

  /// Borrowed until Close.
  struct Dependencies {
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    store::LayerStore& layers;
    FileSystem& files;
    std::shared_ptr<layer::FetchScheduler> scheduler;
    layer::FetchCounters& counters;
  };
  explicit DiffIdChecks(Dependencies dependencies);
  ~DiffIdChecks();

  struct Layer {
    std::weak_ptr<layer::LazyLayer> layer;  // where parts are fetched from
    std::shared_ptr<store::StoredLayer> stored;
    std::shared_ptr<layer::GapLog> gaps;  // null: nothing was kept
  };
  /// An image shows the layer. Before Check.
  void Expect(const LayerSpec& spec);
  /// The layer is complete.
  void Check(const Layer& layer);
  /// Nobody shows the layer any more.
  void Forget(const store::LayerKey& layer);
  DiffIdState state(const store::LayerKey& layer) const;
  /// Ends what runs and joins the thread. Idempotent.
  void Close();

 private:
  struct Entry {
    std::map<std::string, LayerSpec> promises;  // by image
    std::set<std::string> told;                 // images that were found to differ
    DiffIdState state = DiffIdState::kUnknown;
  };
  using DiffIds = std::vector<std::pair<oci::Digest, oci::Digest>>;  // layer, diffID; bottom first

  void Run(const Layer& layer);
  StatusOr<oci::Digest> DiffIdOf(const Layer& layer);
  StatusOr<oci::Digest> Compute(const Layer& layer, layer::LazyLayer& engine);
  void Compare(const store::LayerKey& key, const oci::Digest& diff_id);
  std::optional<bool> Keeps(const LayerSpec& promise, const oci::Digest& diff_id);
  StatusOr<DiffIds> ReadConfig(const LayerSpec& promise);
  std::string ExpectationOf(const LayerSpec& promise);
  bool IsWanted(const store::LayerKey& key) const;
  void SetState(const store::LayerKey& key, DiffIdState state);

  const Dependencies deps_;
  std::map<oci::Digest, DiffIds> configs_;  // by manifest; of the thread

  mutable Mutex mutex_;  // above the executor's
  bool closed_ GUARDED_BY(mutex_) = false;
  std::map<store::LayerKey, Entry> entries_ GUARDED_BY(mutex_);
  std::shared_ptr<layer::IdleReader> reader_ GUARDED_BY(mutex_);  // of the layer that is computed
  std::optional<store::LayerKey> computed_ GUARDED_BY(mutex_);
  std::unique_ptr<ThreadPool> thread_;
};

}  // namespace starling::mount
