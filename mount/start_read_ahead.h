#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "layer/access_profile.h"
#include "store/layer_store.h"

namespace starling::mount {

/// Reads from the disk what a container needs that starts on layers which are held, but not in the
/// kernel's memory any more: a program reads one thing after the other and waits for each, and the
/// image's access profile knows all of it. Only once a read has waited: where the kernel has the
/// layers' files in memory, or kept what it read of them, nothing is read. docs/decisions/0057.
/// Threads: safe. Nothing blocks.
class StartReadAhead {
 public:
  /// How long a container starts. What waits later is not taken for its start.
  static constexpr std::chrono::seconds kStart{10};
  /// What a start brings at most, by order of need: beyond it the memory may be worth more.
  static constexpr uint64_t kMaxBytes = 256 << 20;

  /// Borrowed until Close, the clock for ever.
  struct Dependencies {
    const Clock& clock;
    Executor& disk;  // where the others block
    /// What runs of an image needed.
    std::function<std::optional<layer::AccessProfile>(const oci::Digest& image)> profile_of;
    /// What says where the layer's files are.
    std::function<void(const store::LayerKey& layer)> read_index;
    std::function<void(const store::LayerKey& layer, layer::DataRange range)> read_data;
  };
  explicit StartReadAhead(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  /// A container of `image` is about to start on `layers`.
  void OnStart(const oci::Digest& image, std::vector<store::LayerKey> layers);
  /// A read of `layer` has to wait for the disk. True when it is the first one of a container that
  /// starts: what that needs is read from now on.
  bool OnDiskWait(const store::LayerKey& layer);
  /// Nothing is begun any more. Idempotent.
  void Close();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Start {
    oci::Digest image;
    std::vector<store::LayerKey> layers;
    TimePoint begun;
  };

  void ReadAhead(const Start& start);
  bool IsClosed();

  const Dependencies deps_;
  Mutex mutex_;                                   // above the executor's
  std::vector<Start> starts_ GUARDED_BY(mutex_);  // of which no read has waited
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace starling::mount
