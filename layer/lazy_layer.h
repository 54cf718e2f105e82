#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "erofs/image_reader.h"
#include "layer/blob_sources.h"
#include "layer/chunk_marks.h"
#include "layer/chunk_table.h"
#include "layer/container_waits.h"
#include "layer/counters.h"
#include "layer/downloads.h"
#include "layer/fetch_ahead.h"
#include "layer/fetch_plan.h"
#include "layer/fetch_scheduler.h"
#include "layer/gap_log.h"
#include "layer/layer_context.h"
#include "layer/layer_tally.h"
#include "layer/member_copies.h"
#include "layer/member_quarantine.h"
#include "layer/member_store.h"
#include "layer/read_observer.h"
#include "layer/read_request.h"
#include "layer/recent_fetches.h"
#include "layer/shared_chunks.h"
#include "layer/slow_reads.h"
#include "layer/spilled_chunks.h"
#include "oci/blob_reader.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Bytes of a layer that are not what its TOC promises.
struct WrongBytes {
  std::string source;  // the image that they came for
  std::string host;
  oci::Digest layer;
  oci::BlobRange range;  // of the member
  Status error;          // with the expected and the actual digest
};

/// One layer whose bytes arrive when they are read: the engine below every way to show a layer.
///
/// A read of absent bytes enlists itself with the gzip members that hold them; each absent member
/// is fetched, decoded, verified and stored once, however many readers wait for it, and as soon as
/// its last byte has come, however long the rest of its request takes. With a scheduler, what is on
/// its way keeps to its budgets; what finds no room waits, unsent. A failed fetch is not
/// remembered: the next read tries again, and who joined one late has another. Wrong bytes are:
/// they are asked for once more, elsewhere if possible, and if they are wrong again their readers
/// get the error for kQuarantine without a request.
///
/// Threads: safe. No call blocks for the network. Callbacks run on the executor's threads or, once
/// closed, on the caller's, with no lock held. Owned by shared_ptr only; requests on their way own
/// it too.
class LazyLayer : public std::enable_shared_from_this<LazyLayer>,
                  public FetchScheduler::Feed,
                  public Downloads::Client {
 public:
  /// Finds the layer's blob. Runs on the executor; must not wait for the network.
  using PresentDone = std::function<void(const Status&)>;
  using ReadDone = std::function<void(StatusOr<Bytes>)>;
  /// Called on an executor's thread, once for each source while it is in quarantine.
  using WrongBytesObserver = std::function<void(const WrongBytes&)>;

  static constexpr std::chrono::seconds kQuarantine{300};

  /// Borrows `cpu` until Close, and `counters` until the last ReadPresent. Without a scheduler
  /// nothing is fetched that no read asks for but the neighbourhood in `limits`; with one, the
  /// neighbourhood is what its link moves in half a round trip. kDataLoss for a damaged index or
  /// table.
  static StatusOr<std::shared_ptr<LazyLayer>> Open(
      std::shared_ptr<store::StoredLayer> stored, Executor& cpu, FetchCounters& counters,
      const FetchLimits& limits = {}, std::shared_ptr<FetchScheduler> scheduler = nullptr);

  /// The places of `image` to fetch from, best first, in place of those that it had; other images'
  /// stay. A fetch that fails at one goes on at the next, once at each; a read that waits for a
  /// host is also sent to what is new. Images with the same `host` share its link.
  void SetSources(const std::string& image, const std::string& host,
                  std::vector<BlobSources::Named> sources);
  /// Fetches from an already opened blob until that fails.
  void UseReader(std::shared_ptr<oci::BlobReader> reader);

  /// Takes what other layers of the store hold from them, not from the network: what is read at
  /// once, with FetchAll the rest, too. Before the first read.
  void UseShared(SharedChunks shared);

  /// Tells `observer` what ReadPresent and demand reads ask for. Before the first of them.
  void Observe(std::shared_ptr<ReadObserver> observer) { observer_ = std::move(observer); }

  /// Tells `observer` of wrong bytes. Before the first read.
  void ReportWrongBytes(WrongBytesObserver observer) { on_wrong_bytes_ = std::move(observer); }

  /// Notes reads that wait long, and requests, in these, too. Before the first read.
  void Trace(std::shared_ptr<SlowReads> slow_reads, std::shared_ptr<RecentFetches> fetches) {
    slow_reads_ = std::move(slow_reads);
    fetches_ = std::move(fetches);
  }

  /// Counts reads that wait by containers, too. Before the first read.
  void CountWaits(std::shared_ptr<ContainerWaits> waits) { container_waits_ = std::move(waits); }

  /// Fetches all of a layer again that cannot be had in pieces, puts what is missing, hands what
  /// the disk does not take to `spill`, verified, and calls `done`: on any thread, but not from
  /// within the call.
  using Refetch = std::function<void(std::function<void(uint32_t chunk, ByteSpan bytes)> spill,
                                     std::function<void(const Status&)> done)>;
  /// How a layer that was fetched as a whole gets back what it has lost. Before the first read;
  /// without it, that is lost, and nothing of it is evicted.
  /// Nothing of such a layer is fetched ahead of reads.
  void RefetchBy(Refetch refetch) { refetch_ = std::move(refetch); }

  /// Keeps what of members is no chunk in `gaps`, too. Before the first fetch.
  void KeepGaps(std::shared_ptr<GapLog> gaps) { members_.KeepGaps(std::move(gaps)); }

  /// The place that the next fetch goes to, opened. Errors: the sources'; kUnavailable for none.
  StatusOr<BlobSources::Source> OpenSource();
  /// Where the next fetch goes to.
  BlobSources::Source PreferredSource() { return sources_.Preferred(context_.Now()); }
  /// All places, in order of preference, and how they are.
  std::vector<BlobSources::Health> SourcesHealth() { return sources_.HealthOfAll(context_.Now()); }

  const store::LayerKey& key() const { return stored_->key(); }
  /// Whether what was read from index() or chunks() before this call can be believed: the error of
  /// StoredLayer::CheckFiles. Lock-free.
  Status CheckFiles() const { return stored_->CheckFiles(); }
  const erofs::ImageReader& index() const { return index_; }
  const ChunkTable& chunks() const { return table_; }
  uint64_t present_bytes() const { return stored_->present_bytes(); }
  /// Of its files, held or not.
  uint64_t content_bytes() const { return content_bytes_.all; }
  /// What became of its bytes; looks at every chunk. `tally` is for those who fetch for it.
  LayerUse Use() const;
  LayerTally& tally() { return tally_; }
  /// Adds a request of theirs to what is traced.
  void Trace(TracedFetch fetch) const;
  /// All of it was fetched as a whole before it was opened.
  void NoteFetchedWhole();

  /// True when every byte of `range` is on the disk. Never blocks.
  bool IsPresent(DataRange range) const;
  /// Fills `out` if all of it is on the disk; false if it is not, was evicted meanwhile, or the
  /// disk does not give it (any more). Blocks for the disk only.
  StatusOr<bool> ReadPresent(uint64_t data_address, std::span<std::byte> out);
  /// Reads bytes, fetching what is absent. With a disk that is full or takes nothing for another
  /// reason they come from memory.
  /// Errors: kDataLoss when the registry's bytes do not match the TOC, twice; kUnavailable and
  /// kDeadlineExceeded from the transport; kCancelled after Close.
  /// `asker` is the thread that reads, for who counts its wait; 0: unknown.
  void Read(DataRange range, oci::FetchClass fetch_class, ReadDone done, pid_t asker = 0);
  /// Brings `range` to the disk. Errors as Read; kResourceExhausted when the disk is full.
  void MakePresent(DataRange range, oci::FetchClass fetch_class, PresentDone done);
  /// Takes the members that are whole in the blob's last bytes, which came for another reason: they
  /// are decoded when there is nothing more urgent, and not fetched. After UseShared and KeepGaps.
  void TakeTail(Bytes tail);
  /// Fetches the members that begin in the first `blob_bytes` of the blob when the link has room.
  void Prefetch(uint64_t blob_bytes);
  /// In the same way everything, but for large parts that are unlikely to be read: those are for
  /// FetchAll.
  void PrefetchAll();
  /// Begins requests for what is absent of `ranges` and nobody fetches yet; gaps smaller than a
  /// quarter of `size_bytes` come along. False when there is nothing to begin, and after
  /// StopFetchingAhead.
  bool StartAbsent(std::span<const DataRange> ranges, oci::FetchClass fetch_class,
                   uint64_t size_bytes);
  /// Calls `done` once everything is held, however that came about: on an executor's thread, soon
  /// when it is so already, never after Close. The latest call counts.
  void WhenComplete(std::function<void()> done);
  /// Calls `done` once a place to fetch from is open, which begins no request: within the call when
  /// one is, else on an executor's thread; never after Close.
  void WhenOpen(std::function<void()> done);
  /// Fetches all that is absent when the link has nothing else to do, the likeliest first; goes on
  /// after failures, some time later, until everything is held.
  void FetchAll();
  /// Whether read-ahead waits until much was missed, and neighbourhoods are small until then: for
  /// readers that are likely to read little.
  void HoldReadahead(bool is_held);
  /// Fetches nothing any more that no read asks for, until ResumeFetchingAhead or until it is told
  /// what to fetch by Prefetch, PrefetchAll or FetchAll.
  void StopFetchingAhead();
  /// What StartAbsent asks for is fetched again.
  void ResumeFetchingAhead();
  /// Gives up `wanted_bytes` of held chunks, or more: of those that nobody has read since the last
  /// ForgetReads, or of all; what is doubtful goes with either. Of a layer that was fetched as a
  /// whole, and would have to be again, all go or none: none if any was read, or it is being
  /// fetched now. How many bytes that were. Blocks for the disk.
  enum class Evictable { kUnread, kAll };
  StatusOr<uint64_t> Evict(Evictable which, uint64_t wanted_bytes);
  void ForgetReads();
  /// The clock's time of the latest read; its epoch if there was none.
  std::chrono::steady_clock::time_point last_read() const;
  /// The same, or when all of it came if that was later: when it was worth its room.
  std::chrono::steady_clock::time_point last_use() const;
  /// Fails all that waits with kCancelled and lets go of the executor. Idempotent.
  void Close();

 private:
  using RequestPtr = std::shared_ptr<ReadRequest>;
  using Urgency = LayerContext::Urgency;

  struct ContentBytes {
    uint64_t all = 0;
    uint64_t unlikely = 0;  // of chunks that are

    static ContentBytes Of(const ChunkTable& table);
  };
  /// What a layer that is fetched again as a whole has spilled.
  struct Spills {
    Mutex mutex;  // leaf
    std::vector<SpilledChunk> chunks GUARDED_BY(mutex);
    uint64_t size_bytes GUARDED_BY(mutex) = 0;
  };
  /// A member that came and that nobody waited for then. Guarded by mutex_: what it decodes with is
  /// taken by whoever comes first to do it.
  struct Undecoded {
    uint32_t member = 0;
    std::function<void()> decode;
  };
  /// What a request makes necessary.
  struct Work {
    std::vector<Fetch> fetches;
    std::vector<uint32_t> copies;  // members that the node has
    std::vector<std::shared_ptr<Undecoded>> decodes;
  };

  LazyLayer(std::shared_ptr<store::StoredLayer> stored, erofs::ImageReader index, ChunkTable table,
            Executor& cpu, FetchCounters& counters, const FetchLimits& limits,
            std::shared_ptr<FetchScheduler> scheduler);

  bool StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) override;
  uint64_t LeftBytes() const override;
  void OnMember(Downloads::Arrival arrival) override;
  void OnMoves(const Fetch& fetch) override { StartFetch(fetch); }
  void OnFailed(const Fetch& fetch, const Status& error) override;
  void OnOpened(const std::set<oci::FetchClass>& classes) override;
  void OnNothingOpened() override { RetryLater(); }
  void OnRequestEnded(const TracedFetch& fetch) override { Trace(fetch); }

  void EnlistFeed(oci::FetchClass fetch_class);
  void RetryLater();
  void GoOnWithBackground();
  void EnlistBackground();
  void ReleaseAfter(std::chrono::steady_clock::duration delay);
  void RunWhenOpen();
  void CheckCompletion();
  FetchLimits LimitsNow();

  void Note(ChunkSpan span);
  void AwaitRead() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FollowReader(ChunkSpan span);
  void Start(const RequestPtr& request);
  Work Enlist(const RequestPtr& request, FetchLimits limits) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Fetch> PlanAndMark(std::span<const uint32_t> wanted, oci::FetchClass fetch_class,
                                 const FetchLimits& limits) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MarkOnTheWay(const PlannedFetch& plan) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsFree(uint32_t member) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsAwaited(uint32_t member) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Worth WorthOfMember(uint32_t member) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TakeSpilled(uint32_t chunk, ReadRequest& request) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PlannedFetch FetchOf(uint32_t member) const;
  template <typename Choose>
  void Prefetch(Choose choose);

  void CopyMember(uint32_t member, oci::FetchClass fetch_class);
  void BeginCopies();
  void CopyNext();

  void StartFetch(const Fetch& asked);
  void FetchAgainWhole(const Fetch& fetch);
  void OnSpilled(uint32_t member, uint32_t chunk, ByteSpan bytes, Spills& spills);
  void OnRefetched(const Fetch& fetch, Spills& spills, const Status& status);
  ReadTimes::Moments MomentsOfFailure(const Fetch& fetch) const;
  std::optional<Fetch> FailThoseInTime(const Fetch& fetch, const Status& error);
  bool MayGo(Evictable which);
  void OnWrongBytes(BlobSources::Id source, uint32_t member, const Status& error);
  void Quarantine(uint32_t member, const Status& error);

  void PostDecode(uint32_t member, std::function<void()> decode);
  void PostDecodeNow(std::shared_ptr<Undecoded> undecoded, Urgency urgency);
  /// `source` and `moments` are unknown of what came along with the blob's index.
  void DecodeMember(const Fetch& fetch, uint32_t member, ByteSpan compressed,
                    std::optional<BlobSources::Id> source, ReadTimes::Moments moments);
  void NoteArrival(uint32_t member, Purpose purpose);
  void Finish(uint32_t member, const MemberOutcome& outcome);
  void Settle(const RequestPtr& request, const MemberOutcome& outcome);
  void Answer(const RequestPtr& request);
  void Reply(ReadRequest& request, StatusOr<Bytes> answer);

  const std::shared_ptr<store::StoredLayer> stored_;
  const erofs::ImageReader index_;
  const ChunkTable table_;
  const ContentBytes content_bytes_;
  const FetchLimits limits_;
  const std::shared_ptr<SpilledChunks> spilled_;  // the scheduler's, if there is one
  std::shared_ptr<ReadObserver> observer_;
  WrongBytesObserver on_wrong_bytes_;
  Refetch refetch_;                                  // may be null
  std::shared_ptr<SlowReads> slow_reads_;            // may be null
  std::shared_ptr<RecentFetches> fetches_;           // may be null
  std::shared_ptr<ContainerWaits> container_waits_;  // may be null
  LayerContext context_;
  BlobSources sources_;
  LayerTally tally_;
  MemberStore members_;
  Downloads downloads_;
  ChunkMarks reads_;
  std::atomic<std::chrono::steady_clock::time_point> last_read_{};
  std::atomic<std::chrono::steady_clock::time_point> came_{};  // all of it, as a whole
  /// Whose next read shows that a reader goes on.
  std::atomic<ChunkSpan> awaited_{};

  Mutex mutex_;  // above the scheduler's, the context's and requests'
  bool closed_ GUARDED_BY(mutex_) = false;
  /// Members on their way, and who waits for them. A neighbour may have nobody.
  std::unordered_map<uint32_t, std::vector<RequestPtr>> in_flight_ GUARDED_BY(mutex_);
  /// Those of them that have come and are enlisted behind what somebody waits for.
  std::unordered_map<uint32_t, std::shared_ptr<Undecoded>> undecoded_ GUARDED_BY(mutex_);
  MemberQuarantine quarantine_ GUARDED_BY(mutex_);
  MemberCopies copies_ GUARDED_BY(mutex_);
  bool is_copying_ GUARDED_BY(mutex_) = false;  // a CopyNext is posted
  bool has_spilled_ GUARDED_BY(mutex_) = false;
  FetchAhead ahead_ GUARDED_BY(mutex_);
  bool retries_later_ GUARDED_BY(mutex_) = false;
  bool awaits_release_ GUARDED_BY(mutex_) = false;  // of what is in quarantine
  std::vector<std::function<void()>> when_open_ GUARDED_BY(mutex_);
  std::function<void()> on_complete_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
