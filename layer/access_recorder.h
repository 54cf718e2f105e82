#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "layer/access_profile.h"
#include "layer/chunk_table.h"
#include "layer/read_observer.h"

namespace starling::layer {

/// How long ago an image's run began with its first read, and needed something new.
struct RunTimes {
  std::chrono::milliseconds passed{0};
  std::chrono::milliseconds quiet{0};
};

/// A run that was recorded.
struct RecordedRun {
  std::string image;                            // as it was pulled, for people
  oci::Digest manifest;                         // of the image
  std::chrono::system_clock::time_point begun;  // by its first read
  std::optional<std::chrono::system_clock::time_point> ended;
  std::vector<store::LayerKey> layers;  // that were watched
  std::vector<LayerAccess> needs;
};

/// Notes when one run of an image first needs each chunk of its layers.
///
/// A read of chunks that were needed before costs one load a chunk; a first need costs a clock and
/// one exchange more. Four bytes are held for each chunk of a layer, used or not.
/// Threads: safe; what AddLayer returned is lock-free and may outlive the recorder.
class AccessRecorder {
 public:
  /// Of all layers; 16 MiB. A layer beyond it is not recorded.
  static constexpr size_t kMaxChunks = 4 << 20;
  /// Neighbouring chunks needed within this time become one range, with the earlier time.
  static constexpr std::chrono::milliseconds kSameMoment{10};

  /// Borrows `clock` for ever.
  explicit AccessRecorder(const Clock& clock);
  ~AccessRecorder();

  /// The observer to hand to the layer's engine; one for each key. Null when there is no room for
  /// its chunks. `owner` keeps the bytes of `table` alive.
  std::shared_ptr<ReadObserver> AddLayer(const store::LayerKey& key, const ChunkTable& table,
                                         std::shared_ptr<const void> owner);
  /// Nothing before the first read. Lock-free.
  std::optional<RunTimes> TimesOfRun() const;
  /// What was needed until now, as a profile of one run. Chunks that are needed meanwhile are in it
  /// or not.
  StatusOr<AccessProfile> Snapshot(const oci::Digest& image) const;

 private:
  class Start;
  class LayerRecord;

  const std::shared_ptr<Start> start_;
  mutable Mutex mutex_;  // leaf
  std::map<store::LayerKey, std::shared_ptr<LayerRecord>> layers_ GUARDED_BY(mutex_);
  size_t chunks_left_ GUARDED_BY(mutex_) = kMaxChunks;
};

}  // namespace starling::layer
