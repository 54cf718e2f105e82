#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "layer/fetch_scheduler.h"
#include "layer/layer_ingest.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"

namespace starling::mount {

/// Takes plain layers whole into the store: those that are asked for, and before that those that
/// will be. What was begun ahead stays out of the store until it is asked for, so that a pull which
/// never comes back leaves nothing, and goes when nobody asks in time.
/// Threads: safe. Owned by shared_ptr only.
class EagerLayers : public std::enable_shared_from_this<EagerLayers> {
 public:
  /// Layers that are decoded at once: each keeps a processor busy.
  static constexpr size_t kDecoders = 2;
  /// Layers that are mended at once, beside those: a registry that is away holds up no pull.
  static constexpr size_t kMenders = 2;
  /// How long what was begun ahead waits for the next sign of its image's pull.
  static constexpr std::chrono::minutes kUnclaimed{5};

  struct Dependencies {
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    layer::LayerIngest::Dependencies ingest;
    const Clock& clock;
    /// How many bytes a layer may take on the disk now.
    std::function<uint64_t()> disk_bytes;
  };
  /// Borrows what is in `dependencies` until Close.
  explicit EagerLayers(Dependencies dependencies);
  ~EagerLayers();

  /// The layer, in the store. Blocks until it was fetched and decoded; joins what was begun ahead.
  /// One call for a layer at a time. Errors: those of LayerIngest; kAborted when it was abandoned;
  /// kCancelled once closed.
  StatusOr<std::shared_ptr<store::StoredLayer>> Fetch(const LayerSpec& spec);
  /// Begins layers that are likely to be asked for soon, in this order; those of a lazy format are
  /// left alone, and what fails is tried again when it is asked for. Returns at once.
  void BeginAhead(std::span<const LayerSpec> specs);
  /// Fetches the layer again and puts the chunks that `stored` has lost; `spill` gets those that
  /// the disk does not take. Returns at once; calls `done` on a mender's thread, not after Close.
  void Mend(const LayerSpec& spec, std::shared_ptr<store::StoredLayer> stored,
            layer::LayerIngest::Spill spill, std::function<void(const Status&)> done);
  /// The layer need not be fetched any more, unless it was already: who waits for it gets kAborted.
  void Abandon(const oci::Digest& layer);
  /// Drops what was begun ahead and has seen no sign of its image's pull since kUnclaimed ago.
  void DropUnclaimed();
  /// Layers that were begun and not handed over yet.
  size_t under_way() const;
  /// Whether somebody waits for the layer now.
  bool is_awaited(const oci::Digest& layer) const;
  /// Whether the layer was fetched, or not, and waits to be asked for.
  bool has_ended(const oci::Digest& layer) const;
  /// Ends everything, also what somebody waits for, and joins the threads. Idempotent.
  void Close();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Stage { kWaiting, kRunning, kEnded };
  struct Entry {
    LayerSpec spec;
    uint64_t order = 0;
    Stage stage = Stage::kWaiting;
    bool is_ahead = false;  // nobody had asked for it when it was begun
    bool is_awaited = false;
    bool is_abandoned = false;
    TimePoint last_sign;
    std::shared_ptr<layer::LayerIngest> ingest;
    Status result;
  };

  std::shared_ptr<Entry> AddEntry(const LayerSpec& spec) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteSign(const std::string& image) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PostNext() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SweepLater() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Sweep();
  void RunNext();
  Status Run(const std::shared_ptr<layer::LayerIngest>& ingest, const LayerSpec& spec,
             layer::LayerIngest::Formats formats);
  std::shared_ptr<layer::LayerIngest> MakeIngest() const;
  std::shared_ptr<Entry> TakeNext() EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Dependencies dependencies_;

  mutable Mutex mutex_;  // above an ingest's, the executor's and the scheduler's
  Condition changed_;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool sweeps_later_ GUARDED_BY(mutex_) = false;
  uint64_t next_order_ GUARDED_BY(mutex_) = 0;
  std::map<oci::Digest, std::shared_ptr<Entry>> entries_ GUARDED_BY(mutex_);
  std::set<std::shared_ptr<layer::LayerIngest>> mends_ GUARDED_BY(mutex_);
  std::unique_ptr<ThreadPool> decoders_ GUARDED_BY(mutex_);
  std::unique_ptr<ThreadPool> menders_ GUARDED_BY(mutex_);
};

}  // namespace starling::mount
