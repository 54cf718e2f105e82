#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
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
#include "layer/buffer_budget.h"
#include "layer/chunk_table.h"
#include "layer/container_waits.h"
#include "layer/counters.h"
#include "layer/fetch_ahead.h"
#include "layer/fetch_plan.h"
#include "layer/fetch_scheduler.h"
#include "layer/gap_log.h"
#include "layer/layer_tally.h"
#include "layer/member_decoder.h"
#include "layer/read_observer.h"
#include "layer/recent_fetches.h"
#include "layer/shared_chunks.h"
#include "layer/slow_reads.h"
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
/// get the error for kQuarantine without a request. With a scheduler, a demand request that is late
/// is sent a second time, elsewhere if possible; the first that brings bytes counts.
///
/// Threads: safe. No call blocks for the network. Callbacks run on the executor's threads or, once
/// closed, on the caller's, with no lock held. Owned by shared_ptr only; requests on their way own
/// it too.
class LazyLayer : public std::enable_shared_from_this<LazyLayer>, public FetchScheduler::Feed {
 public:
  /// Finds the layer's blob. Runs on the executor; must not wait for the network.
  using PresentDone = std::function<void(const Status&)>;
  using ReadDone = std::function<void(StatusOr<Bytes>)>;
  /// Called on an executor's thread, once for each source while it is in quarantine.
  using WrongBytesObserver = std::function<void(const WrongBytes&)>;

  static constexpr std::chrono::seconds kQuarantine{300};
  /// So often other places are looked for while a read gets no byte from where it was sent.
  static constexpr std::chrono::seconds kHedgeAgain{2};

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
  void KeepGaps(std::shared_ptr<GapLog> gaps) { gaps_ = std::move(gaps); }

  /// The place that the next fetch goes to, opened. Errors: the sources'; kUnavailable for none.
  StatusOr<BlobSources::Source> OpenSource();
  /// Where the next fetch goes to.
  BlobSources::Source PreferredSource() { return sources_.Preferred(Now()); }
  /// All places, in order of preference, and how they are.
  std::vector<BlobSources::Health> SourcesHealth() { return sources_.HealthOfAll(Now()); }

  const store::LayerKey& key() const { return stored_->key(); }
  /// Whether what was read from index() or chunks() before this call can be believed: the error of
  /// StoredLayer::CheckFiles. Lock-free.
  Status CheckFiles() const { return stored_->CheckFiles(); }
  const erofs::ImageReader& index() const { return index_; }
  const ChunkTable& chunks() const { return table_; }
  uint64_t present_bytes() const { return stored_->present_bytes(); }
  /// Of its files, held or not.
  uint64_t content_bytes() const { return content_bytes_; }
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
  /// quarter of `size_bytes` come along. False when there is nothing to begin.
  bool StartAbsent(std::span<const DataRange> ranges, oci::FetchClass fetch_class,
                   uint64_t size_bytes);
  /// Calls `done` once everything is held, however that came about: on an executor's thread, soon
  /// when it is so already, never after Close. The latest call counts.
  void WhenComplete(std::function<void()> done);
  /// Fetches all that is absent when the link has nothing else to do, the likeliest first; goes on
  /// after failures until everything is held.
  void FetchAll();
  /// Whether read-ahead waits until much was missed, and neighbourhoods are small until then: for
  /// readers that are likely to read little.
  void HoldReadahead(bool is_held);
  /// Fetches nothing any more that no read asks for, until it is told to again.
  void StopFetchingAhead();
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
  struct Request;
  struct Download;
  struct Attempt;
  struct Fetch {
    PlannedFetch plan;
    oci::FetchClass fetch_class = oci::FetchClass::kDemand;
    bool is_refetch = false;                      // the second try after a digest mismatch
    bool has_room = false;                        // the scheduler has made room for it
    std::optional<BlobSources::TimePoint> begun;  // when it was first to be sent
    BlobSources::Experience sources;
  };
  /// A verified chunk that found no room on the disk.
  struct SpilledChunk {
    uint32_t chunk = 0;
    std::shared_ptr<const Bytes> bytes;
  };
  /// Those of a layer that is fetched again as a whole.
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
    std::vector<uint32_t> copies;  // members that other layers hold
    std::vector<std::shared_ptr<Undecoded>> decodes;
  };
  /// What became of one member.
  struct Outcome {
    Status error;  // of the whole member
    std::vector<std::pair<uint32_t, Status>> failed_chunks;
    std::vector<SpilledChunk> spilled;
    ReadTimes::Moments moments;

    /// kDataLoss when what came is not what was promised.
    Status FirstDataLoss() const;
  };

  /// A member that came wrong from everywhere.
  struct Rotten {
    BlobSources::TimePoint until;
    Status error;
  };

  struct Decoded {
    DecodedBytes bytes;
    bool is_whole = false;  // nothing of the member is missing
  };

  LazyLayer(std::shared_ptr<store::StoredLayer> stored, erofs::ImageReader index, ChunkTable table,
            Executor& cpu, FetchCounters& counters, const FetchLimits& limits,
            std::shared_ptr<FetchScheduler> scheduler);

  bool StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) override;
  uint64_t LeftBytes() const override;
  void EnlistFeed(oci::FetchClass fetch_class);
  bool OpensFirst(oci::FetchClass fetch_class);
  void RetryLater();
  void CheckCompletion();
  FetchLimits LimitsNow();
  BlobSources::TimePoint Now() const;

  bool AreHeld(ChunkSpan chunks) const;
  bool DistrustUnreadable(ChunkSpan chunks, const Status& error);
  bool IsAvoided(uint32_t chunk);
  void Note(ChunkSpan span);
  void AwaitRead() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FollowReader(ChunkSpan span);
  bool WasRead(uint32_t chunk) const;
  Status ReadHeld(const Request& request, std::span<const SpilledChunk> spilled,
                  std::span<std::byte> out) const;
  bool HasAll(const Request& request, std::span<const SpilledChunk> spilled) const;
  void Start(const std::shared_ptr<Request>& request);
  Work Enlist(const std::shared_ptr<Request>& request, FetchLimits limits)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Fetch> PlanAndMark(std::span<const uint32_t> wanted, oci::FetchClass fetch_class,
                                 const FetchLimits& limits) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MarkOnTheWay(const PlannedFetch& plan) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsAbsent(uint32_t member) const;
  bool IsFree(uint32_t member) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsShared(uint32_t member) const EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return member < is_shared_.size() && is_shared_[member];
  }
  void CopyMember(uint32_t member, oci::FetchClass fetch_class);
  StatusOr<uint64_t> CopyChunks(uint32_t member, const SharedChunks& shared);
  PlannedFetch FetchOf(uint32_t member) const;
  void BeginCopies();
  void CopyNext();
  Worth WorthOfMember(uint32_t member) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TakeSpilled(uint32_t chunk, Request& request) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartFetch(const Fetch& asked);
  void OpenSources();
  void EnlistOnceOpen(const std::set<oci::FetchClass>& feeds);
  void ReadOnceThereIsRoom(const BlobSources::Source& source, const Fetch& fetch);
  void ReadBlob(const BlobSources::Source& source, const Fetch& fetch,
                std::shared_ptr<BufferBudget::Room> room);
  uint64_t DecodedBytesOf(const PlannedFetch& plan) const;
  template <typename Counting>
  bool Count(Counting counting);
  template <typename Choose>
  void Prefetch(Choose choose);
  void Reply(Request& request, StatusOr<Bytes> answer);
  void SendAttempt(const std::shared_ptr<Download>& download,
                   const std::shared_ptr<Attempt>& attempt, const oci::ReadOptions& options);
  void HedgeIfLate(const std::shared_ptr<Download>& download, const std::string& host);
  void HedgeAfter(std::chrono::milliseconds delay, const std::shared_ptr<Download>& download);
  void Hedge(const std::shared_ptr<Download>& download);
  void OnPart(const std::shared_ptr<Download>& download, const std::shared_ptr<Attempt>& attempt,
              ByteSpan part);
  void OnEnded(const std::shared_ptr<Download>& download, const std::shared_ptr<Attempt>& attempt,
               Status status);
  void TraceFetch(const Fetch& fetch, const Attempt& attempt, const Status& status) const;
  bool GoOnOrFail(Fetch fetch, BlobSources::Id source, const Status& error);
  bool GoesOnElsewhere(Fetch& fetch, BlobSources::Id source, const Status& error);
  bool MayGo(Evictable which);
  void OnSpilled(uint32_t member, uint32_t chunk, ByteSpan bytes, Spills& spills);
  void OnRefetched(const Fetch& fetch, Spills& spills, const Status& status);
  void OnFetchFailed(const Fetch& fetch, const Status& error);
  ReadTimes::Moments MomentsOfFailure(const Fetch& fetch) const;
  std::optional<Fetch> FailThoseInTime(const Fetch& fetch, const Status& error);
  void OnWrongBytes(BlobSources::Id source, uint32_t member, const Status& error);
  void Quarantine(uint32_t member, const Status& error);
  /// The error of a member in quarantine; OK when it may be fetched.
  Status RottenAt(uint32_t member, BlobSources::TimePoint now) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  enum class Urgency { kAwaited, kWelcome };
  void PostDecode(uint32_t member, std::function<void()> decode);
  void PostDecodeNow(std::shared_ptr<Undecoded> undecoded, Urgency urgency);
  /// Of one member: where it came from, if that is known, and when.
  struct Arrival {
    std::optional<BlobSources::Id> source;
    BlobSources::TimePoint sent;
    BlobSources::TimePoint came;
  };
  void DecodeMember(const Fetch& fetch, const Arrival& arrival, uint32_t member,
                    ByteSpan compressed);
  void NoteArrival(uint32_t member, Purpose purpose);
  StatusOr<Decoded> Decode(uint32_t member, ByteSpan compressed, uint64_t wanted_bytes) const;
  Outcome StoreMember(uint32_t member, ByteSpan compressed);
  void Finish(uint32_t member, const Outcome& outcome);
  void Settle(const std::shared_ptr<Request>& request, const Outcome& outcome);
  void Answer(const std::shared_ptr<Request>& request);
  /// False once closed: nothing is posted.
  bool PostToCpu(Urgency urgency, std::function<void()> task);

  const std::shared_ptr<store::StoredLayer> stored_;
  const erofs::ImageReader index_;
  const ChunkTable table_;
  const uint64_t content_bytes_;  // of all chunks
  Executor& cpu_;
  FetchCounters& counters_;
  const FetchLimits limits_;
  const std::shared_ptr<FetchScheduler> scheduler_;  // may be null
  std::shared_ptr<ReadObserver> observer_;
  WrongBytesObserver on_wrong_bytes_;
  std::shared_ptr<GapLog> gaps_;                     // null: not kept
  Refetch refetch_;                                  // may be null
  std::shared_ptr<SlowReads> slow_reads_;            // may be null
  std::shared_ptr<RecentFetches> fetches_;           // may be null
  std::shared_ptr<ContainerWaits> container_waits_;  // may be null
  BlobSources sources_;
  /// One bit a chunk.
  std::vector<std::atomic<uint64_t>> reads_;
  LayerTally tally_;
  std::atomic<std::chrono::steady_clock::time_point> last_read_{};
  std::atomic<std::chrono::steady_clock::time_point> came_{};  // all of it, as a whole
  /// Whose next read shows that a reader goes on.
  std::atomic<ChunkSpan> awaited_{};

  Mutex mutex_;  // above the scheduler's and the executor's
  bool closed_ GUARDED_BY(mutex_) = false;
  bool counts_ GUARDED_BY(mutex_) = true;  // until all that waited at Close has its answer
  /// Members on their way, and who waits for them. A neighbour may have nobody.
  std::unordered_map<uint32_t, std::vector<std::shared_ptr<Request>>> in_flight_ GUARDED_BY(mutex_);
  /// Those of them that have come and are enlisted behind what somebody waits for.
  std::unordered_map<uint32_t, std::shared_ptr<Undecoded>> undecoded_ GUARDED_BY(mutex_);
  std::map<uint32_t, Rotten> rotten_ GUARDED_BY(mutex_);  // members
  /// How often the disk did not give a chunk.
  std::map<uint32_t, int> read_errors_ GUARDED_BY(mutex_);
  bool opening_ GUARDED_BY(mutex_) = false;
  std::vector<Fetch> waiting_for_source_ GUARDED_BY(mutex_);
  std::set<oci::FetchClass> feeds_waiting_for_source_ GUARDED_BY(mutex_);
  /// What other layers hold; null when no member of this layer is left to be had from them.
  std::shared_ptr<const SharedChunks> shared_ GUARDED_BY(mutex_);
  /// By member: it can be had there, and is not fetched unless that fails. Empty without any.
  std::vector<bool> is_shared_ GUARDED_BY(mutex_);
  uint64_t shared_left_ GUARDED_BY(mutex_) = 0;
  uint32_t next_copy_ GUARDED_BY(mutex_) = 0;  // members before it were tried by CopyNext
  bool copies_ GUARDED_BY(mutex_) = false;     // a CopyNext is posted
  std::deque<SpilledChunk> spilled_ GUARDED_BY(mutex_);
  uint64_t spilled_bytes_ GUARDED_BY(mutex_) = 0;
  FetchAhead ahead_ GUARDED_BY(mutex_);
  bool retries_later_ GUARDED_BY(mutex_) = false;
  std::function<void()> on_complete_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
