#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "erofs/image_reader.h"
#include "layer/chunk_table.h"
#include "layer/fetch_plan.h"
#include "oci/blob_reader.h"
#include "store/layer_store.h"

namespace starling::layer {

/// What came over the network, for all layers of a host.
struct FetchCounters {
  std::atomic<uint64_t> requests = 0;
  std::atomic<uint64_t> bytes = 0;
};

/// One layer whose bytes arrive when they are read: the engine below every way to show a layer.
///
/// A read of absent bytes enlists itself with the gzip members that hold them; each absent member
/// is fetched, decoded, verified and stored once, however many readers wait for it. A failed fetch
/// is not remembered: the next read tries again.
///
/// Threads: safe. No call blocks for the network. Callbacks run on the executor's threads or, once
/// closed, on the caller's, with no lock held. Owned by shared_ptr only; requests on their way own
/// it too.
class LazyLayer : public std::enable_shared_from_this<LazyLayer> {
 public:
  /// Finds the layer's blob. Runs on the executor; must not wait for the network.
  using BlobSource = std::function<StatusOr<std::shared_ptr<oci::BlobReader>>()>;
  using PresentDone = std::function<void(const Status&)>;
  using ReadDone = std::function<void(StatusOr<Bytes>)>;

  /// Borrows `cpu` until Close, `counters` for ever. kDataLoss for a damaged index or table.
  static StatusOr<std::shared_ptr<LazyLayer>> Open(std::shared_ptr<store::StoredLayer> stored,
                                                   Executor& cpu, FetchCounters& counters,
                                                   const FetchLimits& limits = {});

  /// Names a place to fetch from, in addition to the earlier ones; the same `name` replaces. The
  /// next one is tried when a fetch finds the current one away or forbidden.
  void AddSource(const std::string& name, BlobSource source);
  /// Fetches from an already opened blob until that fails.
  void UseReader(std::shared_ptr<oci::BlobReader> reader);

  const store::LayerKey& key() const { return stored_->key(); }
  const erofs::ImageReader& index() const { return index_; }
  const ChunkTable& chunks() const { return table_; }
  uint64_t present_bytes() const { return stored_->present_bytes(); }

  /// True when every byte of `range` is on the disk. Never blocks.
  bool IsPresent(DataRange range) const;
  /// Reads bytes for which IsPresent was true. Blocks for the disk only.
  Status ReadPresent(uint64_t data_address, std::span<std::byte> out) const;
  /// Reads bytes, fetching what is absent. With a full disk they come from memory.
  /// Errors: kDataLoss when the registry's bytes do not match the TOC, twice; kUnavailable and
  /// kDeadlineExceeded from the transport; kCancelled after Close.
  void Read(DataRange range, oci::FetchClass fetch_class, ReadDone done);
  /// Brings `range` to the disk. Errors as Read; kResourceExhausted when the disk is full.
  void MakePresent(DataRange range, oci::FetchClass fetch_class, PresentDone done);
  /// Fails all that waits with kCancelled and lets go of the executor. Idempotent.
  void Close();

 private:
  struct Request;
  struct Fetch {
    PlannedFetch plan;
    oci::FetchClass fetch_class = oci::FetchClass::kDemand;
    bool is_refetch = false;  // the second try after a digest mismatch
  };
  /// A verified chunk that found no room on the disk.
  struct SpilledChunk {
    uint32_t chunk = 0;
    std::shared_ptr<const Bytes> bytes;
  };
  /// What became of one member.
  struct Outcome {
    Status error;  // of the whole member
    std::vector<std::pair<uint32_t, Status>> failed_chunks;
    std::vector<SpilledChunk> spilled;
  };

  LazyLayer(std::shared_ptr<store::StoredLayer> stored, erofs::ImageReader index, ChunkTable table,
            Executor& cpu, FetchCounters& counters, const FetchLimits& limits);

  void Start(const std::shared_ptr<Request>& request);
  std::vector<Fetch> Enlist(const std::shared_ptr<Request>& request)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsAbsent(uint32_t member) const;
  bool TakeSpilled(uint32_t chunk, Request& request) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartFetch(const Fetch& fetch);
  void OpenSource();
  void ReadBlob(const std::shared_ptr<oci::BlobReader>& reader, const Fetch& fetch);
  void OnFetched(const std::shared_ptr<oci::BlobReader>& reader, const Fetch& fetch,
                 StatusOr<Bytes> bytes);
  void OnFetchFailed(const Fetch& fetch, const Status& error);
  void DecodeMember(const Fetch& fetch, uint32_t member, ByteSpan compressed);
  Outcome StoreMember(uint32_t member, ByteSpan compressed);
  void Finish(uint32_t member, const Outcome& outcome);
  void Settle(const std::shared_ptr<Request>& request, const Outcome& outcome);
  void Complete(const std::shared_ptr<Request>& request);
  /// False once closed: nothing is posted.
  bool PostToCpu(std::function<void()> task);

  const std::shared_ptr<store::StoredLayer> stored_;
  const erofs::ImageReader index_;
  const ChunkTable table_;
  Executor& cpu_;
  FetchCounters& counters_;
  const FetchLimits limits_;

  Mutex mutex_;  // above the executor's, which is a leaf
  bool closed_ GUARDED_BY(mutex_) = false;
  /// Members on their way, and who waits for them. A neighbour may have nobody.
  std::unordered_map<uint32_t, std::vector<std::shared_ptr<Request>>> in_flight_ GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, BlobSource>> sources_ GUARDED_BY(mutex_);
  size_t current_source_ GUARDED_BY(mutex_) = 0;
  std::shared_ptr<oci::BlobReader> reader_ GUARDED_BY(mutex_);
  bool opening_ GUARDED_BY(mutex_) = false;
  std::vector<Fetch> waiting_for_reader_ GUARDED_BY(mutex_);
  std::deque<SpilledChunk> spilled_ GUARDED_BY(mutex_);
  uint64_t spilled_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::layer
