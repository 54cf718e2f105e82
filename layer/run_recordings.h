/// What the first runs of images on this node need, noted while their layers are shown.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "layer/access_recorder.h"
#include "layer/chunk_table.h"
#include "layer/profile_store.h"
#include "layer/read_observer.h"

namespace starling::layer {

/// Hands what is read of one layer on to those who listen at the moment. With nobody listening a
/// read costs one load. Threads: safe.
class ReadTap : public ReadObserver {
 public:
  void OnRead(uint32_t first_chunk, uint32_t last_chunk) noexcept override;
  void Add(std::shared_ptr<ReadObserver> listener);
  /// After it returns, `listener` hears nothing more. Fine if it does not listen.
  void Remove(const std::shared_ptr<ReadObserver>& listener);

 private:
  std::atomic<bool> has_listeners_ = false;
  Mutex mutex_;  // leaf; the listeners' OnRead is lock-free
  std::vector<std::shared_ptr<ReadObserver>> listeners_ GUARDED_BY(mutex_);
};

/// Records, for each image whose layers are shown for the first time, the first need of each chunk,
/// and adds that to the node's profile of the image: once nothing new was needed for kQuiet, after
/// kLongest, or when one of its layers goes, whichever comes first. Layers of which reads may have
/// passed unseen count as needed as before, so that what nobody could see is not taken for not
/// needed.
///
/// Images that share a layer and are recorded at the same time are both told of its reads.
/// Threads: safe. Owned by shared_ptr only.
class RunRecordings : public std::enable_shared_from_this<RunRecordings> {
 public:
  static constexpr std::chrono::seconds kQuiet{30};
  static constexpr std::chrono::minutes kLongest{10};
  /// Recorded at once; beyond it the one that began first ends.
  static constexpr size_t kMaxImages = 32;
  /// Of all images together; 16 MiB. A layer beyond it is not recorded.
  static constexpr size_t kMaxChunks = AccessRecorder::kMaxChunks;

  /// Borrowed until Stop, the clock for ever.
  struct Dependencies {
    const Clock& clock;
    Timer& timer;
    Executor& disk;  // where profiles are written
    ProfileStore& profiles;
  };
  explicit RunRecordings(Dependencies dependencies) : deps_(dependencies) {}

  /// Of runs that ended, that Runs tells; and of each, the ranges that were needed first.
  static constexpr size_t kKeptRuns = 8;
  static constexpr size_t kKeptRanges = 4096;

  struct Layer {
    store::LayerKey key;
    ChunkTable table;
    std::shared_ptr<const void> owner;  // keeps the bytes of `table` alive
    std::shared_ptr<ReadTap> tap;       // told of the layer's reads
    std::string image;                  // as it was pulled, for people
  };
  /// A layer of `image` is about to be shown. Returns at once.
  void Begin(const oci::Digest& image, const Layer& layer);
  /// From now on the kernel may read the layer without us. Returns at once.
  void GoesUnseen(const store::LayerKey& layer);
  /// The layer is no longer shown: recordings that it is part of end. Blocks for the disk.
  void Gone(const store::LayerKey& layer);
  /// Those that are recorded and have begun, and the latest that ended; oldest first.
  std::vector<RecordedRun> Runs() const;
  /// What the run of `image` that is being recorded has needed so far; nothing if that is none.
  std::optional<AccessProfile> NeedsSoFar(const oci::Digest& image) const;
  /// Ends all recordings. Blocks for the disk. Nothing is recorded afterwards. Idempotent.
  void Stop();

 private:
  struct Part {
    std::shared_ptr<ReadTap> tap;
    std::shared_ptr<ReadObserver> listener;
    bool is_seen = true;  // every read of it is
  };
  struct Recording {
    oci::Digest image;
    std::string name;
    std::shared_ptr<AccessRecorder> recorder;
    std::chrono::steady_clock::time_point begun;
    size_t chunks = 0;
    std::map<store::LayerKey, Part> parts;
  };

  void Poll();
  void PollLater() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Recording Take(const oci::Digest& image) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SaveLater(Recording recording) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Save(const Recording& recording);
  RecordedRun RunOf(const Recording& recording, const AccessProfile& needs) const;
  void KeepEnded(RecordedRun run);

  const Dependencies deps_;
  mutable Mutex mutex_;  // above the executor's, the timer's, a tap's and a recorder's
  std::map<oci::Digest, Recording> recordings_ GUARDED_BY(mutex_);
  std::deque<RecordedRun> ended_ GUARDED_BY(mutex_);
  size_t chunks_ GUARDED_BY(mutex_) = 0;  // of all recordings
  bool polls_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace starling::layer
