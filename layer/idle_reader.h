#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/mutex.h"
#include "layer/blob_sources.h"
#include "layer/fetch_scheduler.h"
#include "layer/lazy_layer.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// Reads parts of a layer's blob when the link has nothing else to do, for who can wait for that.
/// Threads: one that reads; Cancel is safe. Owned by shared_ptr only.
class IdleReader : public FetchScheduler::Feed, public std::enable_shared_from_this<IdleReader> {
 public:
  /// Borrows `counters` for the object's life.
  IdleReader(std::shared_ptr<LazyLayer> layer, std::shared_ptr<FetchScheduler> scheduler,
             FetchCounters& counters)
      : layer_(std::move(layer)), scheduler_(std::move(scheduler)), counters_(counters) {}

  /// Blocks until the scheduler lets it begin and all of `range` has come.
  /// Errors: those of the layer's sources; kCancelled.
  StatusOr<Bytes> Read(oci::BlobRange range);
  /// Ends a Read, and all later ones.
  void Cancel();

 private:
  bool StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) override;
  void OnRead(StatusOr<Bytes> bytes);

  struct Waiting {
    oci::BlobRange range;
    BlobSources::Source source;
  };

  const std::shared_ptr<LazyLayer> layer_;
  const std::shared_ptr<FetchScheduler> scheduler_;
  FetchCounters& counters_;
  std::stop_source stop_;

  Mutex mutex_;  // leaf
  Condition changed_;
  std::optional<Waiting> waiting_ GUARDED_BY(mutex_);
  std::optional<StatusOr<Bytes>> result_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
