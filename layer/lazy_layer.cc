#include "layer/lazy_layer.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <stop_token>

#include "base/clock.h"
#include "base/log.h"
#include "layer/chunk_runs.h"

namespace starling::layer {
namespace {

/// Chunks kept in memory while the disk is full, so that small reads of a large chunk fetch it
/// once.
constexpr uint64_t kSpillBytes = 16 << 20;
/// Of what a neighbourhood is else, where readers are likely to read little.
constexpr uint64_t kHeldNeighbourhoodPart = 16;
/// Reserved at once for the bytes of a member; a larger one grows.
constexpr uint64_t kReservedBytes = 8 << 20;
/// A member that decodes to more is so rare that its memory is counted; one of less on each of the
/// executor's threads is not.
constexpr uint64_t kCountedDecodedBytes = 16 << 20;
constexpr std::chrono::seconds kBackgroundPause(30);
/// For so long wrong ranges are not asked for again; other ways to refuse than by wrong bytes may
/// pass sooner.
constexpr std::chrono::seconds kRefusedPause(30);
/// Who joins a fetch later than this after its beginning has had less time than it may take.
constexpr std::chrono::seconds kLateAfter(1);
/// What one source may do about an error of its own while another one could be asked.
constexpr int kRetriesBeforeTheNext = 1;

/// Errors that say nothing about the bytes: every member of the range shares them.
bool IsTransportError(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kCancelled:
    case StatusCode::kNotFound:
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
    case StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

/// Those of them that more time may cure.
bool IsOutage(StatusCode code) {
  return IsTransportError(code) && code != StatusCode::kCancelled && code != StatusCode::kNotFound;
}

void SortUnique(std::vector<uint32_t>& members) {
  std::ranges::sort(members);
  members.erase(std::ranges::unique(members).begin(), members.end());
}

constexpr uint32_t kWordBits = 64;
/// What the disk did not give so often is not written there again.
constexpr int kReadErrorsToAvoid = 2;

enum class Wants { kPresence, kBytes };

/// What two ranges have in common: an empty part of `of` when that is nothing, as with a chunk
/// whose record cannot be had any more.
DataRange Common(DataRange chunk, DataRange of) {
  const uint64_t from = std::clamp(chunk.data_address, of.data_address, of.end());
  const uint64_t to = std::clamp(chunk.end(), from, of.end());
  return {.data_address = from, .size_bytes = to - from};
}

uint64_t ContentBytesOf(const ChunkTable& table) {
  uint64_t bytes = 0;
  for (const ChunkRecord& chunk : table.chunks()) {
    bytes += chunk.size_bytes;
  }
  return bytes;
}

}  // namespace

/// One Read or MakePresent on its way.
struct LazyLayer::Request {
  Request(DataRange range_in, ChunkSpan chunks_in, oci::FetchClass class_in, Wants wants_in,
          ReadDone done_in, BlobSources::TimePoint started_in)
      : range(range_in),
        chunks(chunks_in),
        fetch_class(class_in),
        wants(wants_in),
        started(started_in),
        done(std::move(done_in)) {}

  bool Needs(uint32_t chunk) const { return chunk >= chunks.first && chunk < chunks.last; }

  const DataRange range;
  const ChunkSpan chunks;
  const oci::FetchClass fetch_class;
  const Wants wants;
  const BlobSources::TimePoint started;
  const ReadDone done;
  std::shared_ptr<ContainerWaits::Asker> asker;  // set before it starts; may be null

  Mutex mutex;  // leaf
  size_t members_left GUARDED_BY(mutex) = 0;
  Status error GUARDED_BY(mutex);
  ReadTimes::Moments moments GUARDED_BY(mutex);  // of what came last
  std::vector<SpilledChunk> spilled GUARDED_BY(mutex);
};

/// One request for what a fetch wants.
struct LazyLayer::Attempt {
  BlobSources::Source source;
  BlobSources::TimePoint sent;
  std::shared_ptr<FetchScheduler::Flight> flight;  // null without a scheduler
  std::stop_source stop;
  uint64_t came_bytes = 0;  // its parts come one at a time, and before its end
};

/// One fetch while its bytes come.
struct LazyLayer::Download {
  Download(Fetch fetch_in, std::shared_ptr<BufferBudget::Room> room_in)
      : fetch(std::move(fetch_in)), room(std::move(room_in)), member(fetch.plan.first_member) {}

  /// True for the attempt that was the first to bring bytes; ends the others then.
  bool Wins(const std::shared_ptr<Attempt>& attempt);
  /// Those that are under way without a byte, in order; empty once there is a winner.
  std::vector<std::shared_ptr<Attempt>> Running();
  /// Adds one to them, unless there is a winner by now.
  bool Add(const std::shared_ptr<Attempt>& attempt);

  const Fetch fetch;
  const std::shared_ptr<BufferBudget::Room> room;  // null for what needs none
  bool was_repeated = false;                       // to the same source; by Hedge, one at a time
  // Only the winner's parts, which come one at a time, touch these.
  uint32_t member = 0;  // whose bytes come next
  Bytes bytes;          // that came of it

  Mutex mutex;                                                      // leaf
  std::vector<std::shared_ptr<Attempt>> running GUARDED_BY(mutex);  // until there is a winner
  std::shared_ptr<Attempt> winner GUARDED_BY(mutex);
  std::vector<BlobSources::Id> lost_sources GUARDED_BY(mutex);  // that failed without a byte
};

Status LazyLayer::Outcome::FirstDataLoss() const {
  if (error.code() == StatusCode::kDataLoss) {
    return error;
  }
  for (const auto& [chunk, status] : failed_chunks) {
    if (status.code() == StatusCode::kDataLoss) {
      return status;
    }
  }
  return OkStatus();
}

bool LazyLayer::Download::Wins(const std::shared_ptr<Attempt>& attempt) {
  std::vector<std::shared_ptr<Attempt>> losers;
  {
    MutexLock lock(mutex);
    if (winner) {
      return winner == attempt;
    }
    winner = attempt;
    losers.swap(running);
  }
  std::erase(losers, attempt);
  for (const std::shared_ptr<Attempt>& loser : losers) {
    loser->stop.request_stop();
  }
  return true;
}

std::vector<std::shared_ptr<LazyLayer::Attempt>> LazyLayer::Download::Running() {
  MutexLock lock(mutex);
  return winner ? std::vector<std::shared_ptr<Attempt>>() : running;
}

bool LazyLayer::Download::Add(const std::shared_ptr<Attempt>& attempt) {
  MutexLock lock(mutex);
  if (winner || running.empty()) {
    return false;
  }
  running.push_back(attempt);
  return true;
}

StatusOr<std::shared_ptr<LazyLayer>> LazyLayer::Open(std::shared_ptr<store::StoredLayer> stored,
                                                     Executor& cpu, FetchCounters& counters,
                                                     const FetchLimits& limits,
                                                     std::shared_ptr<FetchScheduler> scheduler) {
  ASSIGN_OR_RETURN(erofs::ImageReader index, erofs::ImageReader::Open(stored->index()));
  ASSIGN_OR_RETURN(ChunkTable table, ChunkTable::Open(stored->chunk_table()));
  if (table.chunks().size() != stored->info().chunk_count ||
      table.data_size_bytes() != stored->info().data_size_bytes) {
    return MakeError(StatusCode::kDataLoss, "layer: index and chunk table do not belong together");
  }
  const std::shared_ptr<LazyLayer> layer(
      new LazyLayer(std::move(stored), index, table, cpu, counters, limits, std::move(scheduler)));
  layer->UseShared({});  // what is doubtful
  return layer;
}

LazyLayer::LazyLayer(std::shared_ptr<store::StoredLayer> stored, erofs::ImageReader index,
                     ChunkTable table, Executor& cpu, FetchCounters& counters,
                     const FetchLimits& limits, std::shared_ptr<FetchScheduler> scheduler)
    : stored_(std::move(stored)),
      index_(index),
      table_(table),
      content_bytes_(ContentBytesOf(table_)),
      cpu_(cpu),
      counters_(counters),
      limits_(limits),
      scheduler_(std::move(scheduler)),
      reads_((table_.chunks().size() + kWordBits - 1) / kWordBits),
      tally_(table_.chunks().size()),
      ahead_(table_.members(), table_.blob_size_bytes()) {}

/// False once closed: then the counters may be gone, and nobody waits.
template <typename Counting>
bool LazyLayer::Count(Counting counting) {
  MutexLock lock(mutex_);
  if (counts_) {
    counting(counters_);
  }
  return !closed_;
}

void LazyLayer::SetSources(const std::string& image, const std::string& host,
                           std::vector<BlobSources::Named> sources) {
  sources_.Set(image, host, std::move(sources));
}

void LazyLayer::UseReader(std::shared_ptr<oci::BlobReader> reader) {
  sources_.Use(std::move(reader));
}

void LazyLayer::UseShared(SharedChunks shared) {
  if (shared.empty() && stored_->doubtful_count() == 0) {
    return;
  }
  std::vector<bool> is_shared(table_.members().size());
  uint64_t count = 0;
  for (uint32_t member = 0; member < is_shared.size(); ++member) {
    const bool has_all = std::ranges::all_of(table_.ChunksOf(member), [&](uint32_t chunk) {
      return shared.Has(chunk) || stored_->IsPresent(chunk) || stored_->IsDoubtful(chunk);
    });
    if (has_all && IsAbsent(member)) {
      is_shared[member] = true;
      ++count;
    }
  }
  if (count == 0) {
    return;
  }
  MutexLock lock(mutex_);
  shared_ = std::make_shared<const SharedChunks>(std::move(shared));
  is_shared_ = std::move(is_shared);
  shared_left_ = count;
}

StatusOr<BlobSources::Source> LazyLayer::OpenSource() {
  BlobSources::Experience none;
  return sources_.OpenBest(none, Now());
}

bool LazyLayer::IsPresent(DataRange range) const { return AreHeld(table_.Find(range)); }

bool LazyLayer::AreHeld(ChunkSpan chunks) const {
  for (uint32_t chunk = chunks.first; chunk < chunks.last; ++chunk) {
    if (!stored_->IsPresent(chunk)) {
      return false;
    }
  }
  return true;
}

StatusOr<bool> LazyLayer::ReadPresent(uint64_t data_address, std::span<std::byte> out) {
  const auto begun = SystemClock().Now();
  const ChunkSpan chunks = table_.Find({.data_address = data_address, .size_bytes = out.size()});
  uint64_t before = 0;
  do {
    before = stored_->evictions();
    if (!AreHeld(chunks)) {
      return false;
    }
    if (const Status status = stored_->Read(data_address, out); !status.ok()) {
      return DistrustUnreadable(chunks, status) ? StatusOr<bool>(false) : status;
    }
  } while (stored_->evictions() != before);
  Note(chunks);
  counters_.served_bytes.fetch_add(out.size(), std::memory_order_relaxed);
  counters_.held_reads.Observe(SystemClock().Now() - begun);
  return true;
}

/// Lets those of `chunks` be fetched again that the disk does not give. False when it gives all of
/// them: then `error` was of another kind.
bool LazyLayer::DistrustUnreadable(ChunkSpan chunks, const Status& error) {
  if (!CheckFiles().ok()) {
    return false;
  }
  bool found = false;
  for (uint32_t chunk = chunks.first; chunk < chunks.last; ++chunk) {
    const ChunkRecord& record = table_.chunks()[chunk];
    Bytes bytes(record.size_bytes);
    if (!stored_->IsPresent(chunk) || stored_->Read(record.data_address, bytes).ok()) {
      continue;
    }
    {
      MutexLock lock(mutex_);
      ++read_errors_[chunk];
    }
    stored_->Distrust(chunk, record.size_bytes);
    log::Warning("the disk does not give a chunk: it is fetched again",
                 {{"layer", key().layer.ToString()},
                  {"chunk", fmt::format("{}", chunk)},
                  {"error", Describe(error)}});
    found = true;
  }
  return found;
}

bool LazyLayer::IsAvoided(uint32_t chunk) {
  MutexLock lock(mutex_);
  const auto errors = read_errors_.find(chunk);
  return errors != read_errors_.end() && errors->second >= kReadErrorsToAvoid;
}

/// A read of these chunks: the recorder's business, what it read is evicted last, and it may show
/// what will be read next.
void LazyLayer::Note(ChunkSpan span) {
  for (uint32_t chunk = span.first; chunk < span.last; ++chunk) {
    std::atomic<uint64_t>& word = reads_[chunk / kWordBits];
    const uint64_t bit = uint64_t{1} << chunk % kWordBits;
    if ((word.load(std::memory_order_relaxed) & bit) == 0) {
      word.fetch_or(bit, std::memory_order_relaxed);
      tally_.OnNeeded(chunk);
    }
  }
  last_read_.store(Now(), std::memory_order_relaxed);
  if (observer_) {
    observer_->OnRead(span.first, span.last);
  }
  ChunkSpan awaited = awaited_.load(std::memory_order_relaxed);
  if (span.first < awaited.last && awaited.first < span.last &&
      awaited_.compare_exchange_strong(awaited, {})) {
    PostToCpu(Urgency::kAwaited, [self = shared_from_this(), span] { self->FollowReader(span); });
  }
}

/// Watches for the read that shows that the reader of the latest run goes on.
void LazyLayer::AwaitRead() {
  ChunkSpan awaited{};
  if (const auto range = ahead_.AwaitedRead(); range && !stored_->complete()) {
    const auto chunk_at = [this](uint64_t blob_offset) {
      const auto member =
          std::ranges::upper_bound(table_.members(), blob_offset, {}, &MemberRecord::blob_offset) -
          table_.members().begin();
      return table_.ChunksOf(static_cast<uint32_t>(std::max<int64_t>(member, 1) - 1));
    };
    const std::span<const uint32_t> first = chunk_at(range->blob_offset);
    const std::span<const uint32_t> last = chunk_at(range->end() - 1);
    if (!first.empty() && !last.empty()) {  // else the table is damaged: zeros
      awaited = {.first = first.front(), .last = last.back() + 1};
    }
  }
  awaited_.store(awaited, std::memory_order_relaxed);
}

void LazyLayer::FollowReader(ChunkSpan span) {
  const std::span<const ChunkRecord> chunks = table_.chunks();
  const MemberRecord& first = table_.members()[chunks[span.first].member];
  const MemberRecord& last = table_.members()[chunks[span.last - 1].member];
  const uint64_t begin = std::min(first.blob_offset, last.blob_offset);
  const uint64_t end = std::max(first.end(), last.end());
  const uint64_t unit_bytes = LimitsNow().merge_gap_bytes;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return;
    }
    ahead_.NoteRead({.blob_offset = begin, .size_bytes = end - begin},
                    table_.IsUnlikely(chunks[span.first].member) ? Worth::kLittle : Worth::kMuch,
                    unit_bytes);
    AwaitRead();
  }
  EnlistFeed(oci::FetchClass::kReadahead);
}

void LazyLayer::NoteFetchedWhole() {
  tally_.OnBytes(Purpose::kWhole, table_.blob_size_bytes());
  for (uint32_t chunk = 0; chunk < table_.chunks().size(); ++chunk) {
    tally_.OnCame(chunk, Purpose::kWhole);
  }
  came_.store(Now(), std::memory_order_relaxed);
}

LayerUse LazyLayer::Use() const {
  return tally_.Use(table_, [this](uint32_t chunk) { return stored_->IsPresent(chunk); }, Now());
}

bool LazyLayer::WasRead(uint32_t chunk) const {
  return (reads_[chunk / kWordBits].load(std::memory_order_relaxed) >> chunk % kWordBits & 1) != 0;
}

void LazyLayer::ForgetReads() {
  for (std::atomic<uint64_t>& word : reads_) {
    word.store(0, std::memory_order_relaxed);
  }
}

std::chrono::steady_clock::time_point LazyLayer::last_read() const {
  return last_read_.load(std::memory_order_relaxed);
}

std::chrono::steady_clock::time_point LazyLayer::last_use() const {
  return std::max(last_read(), came_.load(std::memory_order_relaxed));
}

void LazyLayer::StopFetchingAhead() {
  MutexLock lock(mutex_);
  ahead_.Clear();
}

/// Whether all of a layer may be evicted that was fetched as a whole.
bool LazyLayer::MayGo(Evictable which) {
  const auto was_read = [](const std::atomic<uint64_t>& word) {
    return word.load(std::memory_order_relaxed) != 0;
  };
  if (!refetch_ || (which == Evictable::kUnread && std::ranges::any_of(reads_, was_read))) {
    return false;
  }
  MutexLock lock(mutex_);
  return !closed_ && in_flight_.empty();
}

StatusOr<uint64_t> LazyLayer::Evict(Evictable which, uint64_t wanted_bytes) {
  const bool is_whole = table_.codec() == Codec::kWhole;
  if (is_whole && !MayGo(which)) {
    return 0;
  }
  const std::vector<store::ChunkRun> runs = RunsOf(
      table_,
      [&](uint32_t chunk) {
        // What is doubtful takes room, too, and nobody has read it.
        return stored_->IsPresent(chunk) ? is_whole || which == Evictable::kAll || !WasRead(chunk)
                                         : stored_->IsDoubtful(chunk);
      },
      is_whole ? UINT64_MAX : wanted_bytes);
  if (runs.empty()) {
    return 0;
  }
  ASSIGN_OR_RETURN(const uint64_t evicted_bytes, stored_->Evict(runs, ChunkBytesOf(table_)));
  Count([&](FetchCounters& counters) {
    counters.evicted_bytes.fetch_add(evicted_bytes, std::memory_order_relaxed);
  });
  return evicted_bytes;
}

void LazyLayer::Read(DataRange range, oci::FetchClass fetch_class, ReadDone done, pid_t asker) {
  const ChunkSpan chunks = table_.Find(range);
  if (fetch_class == oci::FetchClass::kDemand) {
    Note(chunks);
    Count([](FetchCounters& counters) {
      counters.waiting_reads.fetch_add(1, std::memory_order_relaxed);
    });
  }
  const auto request =
      std::make_shared<Request>(range, chunks, fetch_class, Wants::kBytes, std::move(done), Now());
  if (fetch_class == oci::FetchClass::kDemand) {
    request->asker = container_waits_ ? container_waits_->OnWaits(asker) : nullptr;
    tally_.OnWaits(request.get(), range, request->started, request->asker);
  }
  Start(request);
}

/// Answers one of Read or MakePresent; once for each.
void LazyLayer::Reply(Request& request, StatusOr<Bytes> answer) {
  if (request.wants == Wants::kBytes && request.fetch_class == oci::FetchClass::kDemand) {
    SlowRead read{.layer = key(),
                  .range = request.range,
                  .times = {},
                  .ended = SystemClock().WallTime(),
                  .failed = !answer.ok(),
                  .container = request.asker ? request.asker->container() : ""};
    {
      MutexLock lock(request.mutex);
      read.times = ReadTimes::Of(request.started, request.moments, Now());
    }
    tally_.OnWaited(&request, read);
    if (container_waits_) {
      container_waits_->OnWaited(request.asker, read);
    }
    if (slow_reads_) {
      slow_reads_->Add(read);
    }
    Count([&](FetchCounters& counters) {
      counters.waiting_reads.fetch_sub(1, std::memory_order_relaxed);
      counters.waited_reads.Observe(read.times.total());
      if (answer.ok()) {
        counters.served_bytes.fetch_add(answer->size(), std::memory_order_relaxed);
      } else {
        counters.failed_reads.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  request.done(std::move(answer));
}

void LazyLayer::MakePresent(DataRange range, oci::FetchClass fetch_class, PresentDone done) {
  Start(std::make_shared<Request>(
      range, table_.Find(range), fetch_class, Wants::kPresence,
      [done = std::move(done)](const StatusOr<Bytes>& bytes) { done(bytes.status()); }, Now()));
}

void LazyLayer::Start(const std::shared_ptr<Request>& request) {
  if (request->range.data_address > table_.data_size_bytes() ||
      request->range.size_bytes > table_.data_size_bytes() - request->range.data_address) {
    Reply(*request, MakeError(StatusCode::kOutOfRange, "layer: a read past the end of its data"));
    return;
  }
  const FetchLimits limits = LimitsNow();
  Work work;
  bool nothing_missing = false;
  bool reads_ahead = false;
  {
    MutexLock lock(mutex_);
    if (!closed_) {
      work = Enlist(request, limits);
      reads_ahead = ahead_.has_readahead();
      MutexLock request_lock(request->mutex);
      nothing_missing = request->members_left == 0;
    } else {
      nothing_missing = true;
      MutexLock request_lock(request->mutex);
      request->error = MakeError(StatusCode::kCancelled, "layer: closed");
    }
  }
  if (nothing_missing && !PostToCpu(Urgency::kAwaited, [self = shared_from_this(), request] {
        self->Answer(request);
      })) {
    Answer(request);
    return;
  }
  for (const uint32_t member : work.copies) {
    PostToCpu(Urgency::kAwaited,
              [self = shared_from_this(), member, fetch_class = request->fetch_class] {
                self->CopyMember(member, fetch_class);
              });
  }
  for (std::shared_ptr<Undecoded>& undecoded : work.decodes) {
    PostDecodeNow(std::move(undecoded), Urgency::kAwaited);
  }
  for (const Fetch& fetch : work.fetches) {
    StartFetch(fetch);
  }
  if (reads_ahead) {
    EnlistFeed(oci::FetchClass::kReadahead);
  }
}

FetchLimits LazyLayer::LimitsNow() {
  if (!scheduler_) {
    return limits_;
  }
  const std::string host = PreferredSource().host;
  const uint64_t round_trip_bytes = scheduler_->RoundTripBytes(host);
  return {.neighbourhood_bytes = scheduler_->NeighbourhoodBytes(host),
          .bridged_bytes = round_trip_bytes / kBridgedPart,
          .merge_gap_bytes = round_trip_bytes,
          .request_bytes = limits_.request_bytes};
}

BlobSources::TimePoint LazyLayer::Now() const {
  return scheduler_ ? scheduler_->Now() : SystemClock().Now();
}

/// Registers `request` with every absent member that it needs; returns what nobody has started yet.
LazyLayer::Work LazyLayer::Enlist(const std::shared_ptr<Request>& request, FetchLimits limits) {
  std::vector<uint32_t> missing;
  for (uint32_t chunk = request->chunks.first; chunk < request->chunks.last; ++chunk) {
    if (!stored_->IsPresent(chunk) && !TakeSpilled(chunk, *request)) {
      missing.push_back(table_.chunks()[chunk].member);
    }
  }
  SortUnique(missing);
  Status rotten;
  std::erase_if(missing, [&](uint32_t member) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Status error = RottenAt(member, request->started);
    rotten.Update(error);
    return !error.ok();
  });
  std::vector<uint32_t> wanted;
  Work work;
  for (const uint32_t member : missing) {
    if (!in_flight_.contains(member)) {
      (IsShared(member) ? work.copies : wanted).push_back(member);
    } else if (auto undecoded = undecoded_.extract(member)) {
      work.decodes.push_back(std::move(undecoded.mapped()));
    }
  }
  if (!ahead_.may_read_ahead()) {
    limits.neighbourhood_bytes /= kHeldNeighbourhoodPart;
  }
  work.fetches = PlanAndMark(wanted, request->fetch_class, limits);
  if (!work.fetches.empty() && scheduler_ && request->fetch_class == oci::FetchClass::kDemand) {
    const uint64_t missed = table_.members()[wanted.front()].blob_offset;
    ahead_.NoteMiss(
        {.blob_offset = missed, .size_bytes = table_.members()[wanted.back()].end() - missed},
        table_.IsUnlikely(wanted.front()) ? Worth::kLittle : Worth::kMuch, limits.merge_gap_bytes);
    AwaitRead();
  }
  for (const uint32_t member : missing) {
    in_flight_[member].push_back(request);
  }
  MutexLock lock(request->mutex);
  request->members_left = missing.size();
  request->error.Update(rotten);
  return work;
}

/// The requests that bring `wanted`, which are on their way from now on, and their neighbours.
std::vector<LazyLayer::Fetch> LazyLayer::PlanAndMark(std::span<const uint32_t> wanted,
                                                     oci::FetchClass fetch_class,
                                                     const FetchLimits& limits) {
  const auto worth_of = [this](uint32_t member)
                            EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return WorthOfMember(member); };
  std::vector<Fetch> fetches;
  for (const PlannedFetch& plan : PlanFetches(table_.members(), wanted, worth_of, limits)) {
    MarkOnTheWay(plan);
    const bool is_awaited = !plan.is_guess || fetch_class > oci::FetchClass::kReadahead;
    fetches.push_back(
        {.plan = plan, .fetch_class = is_awaited ? fetch_class : oci::FetchClass::kReadahead});
  }
  return fetches;
}

void LazyLayer::MarkOnTheWay(const PlannedFetch& plan) {
  for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
    in_flight_.try_emplace(member);
  }
}

bool LazyLayer::StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) {
  // What is missing of a layer that came as a whole was evicted or lost: a read is worth all of it.
  if (stored_->complete() || table_.codec() == Codec::kWhole || OpensFirst(fetch_class)) {
    return false;
  }
  std::optional<PlannedFetch> next;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return false;
    }
    next = ahead_.Next(fetch_class, size_bytes,
                       [this](uint32_t member)
                           EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return WorthOfMember(member); });
    if (next) {
      MarkOnTheWay(*next);
    }
  }
  if (next) {
    StartFetch({.plan = *next, .fetch_class = fetch_class, .has_room = true});
  }
  return next.has_value();
}

/// In the blob, as if all of it were as well compressed.
uint64_t LazyLayer::LeftBytes() const {
  if (stored_->complete() || table_.codec() == Codec::kWhole || content_bytes_ == 0) {
    return 0;
  }
  const uint64_t absent_bytes = content_bytes_ - std::min(content_bytes_, present_bytes());
  return static_cast<uint64_t>(static_cast<double>(table_.blob_size_bytes()) *
                               static_cast<double>(absent_bytes) /
                               static_cast<double>(content_bytes_));
}

/// True when no source is open: the feed enlists again when one is. What begins before is not on
/// its way yet, so the scheduler would find room for everything.
bool LazyLayer::OpensFirst(oci::FetchClass fetch_class) {
  if (sources_.Opened({}, Now())) {
    return false;
  }
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return true;
    }
    feeds_waiting_for_source_.insert(fetch_class);
    if (std::exchange(opening_, true)) {
      return true;
    }
  }
  PostToCpu(Urgency::kAwaited, [self = shared_from_this()] { self->OpenSources(); });
  return true;
}

void LazyLayer::EnlistFeed(oci::FetchClass fetch_class) {
  const BlobSources::Source source = PreferredSource();
  scheduler_->Enlist(source.host, fetch_class, shared_from_this(), source.image);
}

template <typename Choose>
void LazyLayer::Prefetch(Choose choose) {
  if (!scheduler_) {
    return;
  }
  {
    MutexLock lock(mutex_);
    choose(ahead_);
  }
  EnlistFeed(oci::FetchClass::kPrefetch);
}

void LazyLayer::Prefetch(uint64_t blob_bytes) {
  Prefetch([blob_bytes](FetchAhead& ahead) { ahead.Prefetch(blob_bytes); });
}

void LazyLayer::PrefetchAll() {
  Prefetch([](FetchAhead& ahead) { ahead.PrefetchAll(); });
}

void LazyLayer::TakeTail(Bytes tail) {
  if (tail.size() > table_.blob_size_bytes() || table_.codec() == Codec::kWhole) {
    return;
  }
  const uint64_t tail_offset = table_.blob_size_bytes() - tail.size();
  const auto bytes = std::make_shared<const Bytes>(std::move(tail));
  const std::span<const MemberRecord> members = table_.members();
  const auto first =
      std::ranges::lower_bound(members, tail_offset, {}, &MemberRecord::blob_offset) -
      members.begin();
  std::vector<uint32_t> taken;
  {
    MutexLock lock(mutex_);
    for (auto member = static_cast<uint32_t>(first); member < members.size() && !closed_;
         ++member) {
      if (IsFree(member)) {
        in_flight_.try_emplace(member);
        taken.push_back(member);
      }
    }
  }
  for (const uint32_t member : taken) {
    PostDecode(member, [self = shared_from_this(), bytes, tail_offset, member] {
      const MemberRecord& record = self->table_.members()[member];
      self->DecodeMember(
          {.plan = self->FetchOf(member), .fetch_class = oci::FetchClass::kPrefetch}, {}, member,
          ByteSpan(*bytes).subspan(record.blob_offset - tail_offset, record.blob_size));
    });
  }
}

bool LazyLayer::StartAbsent(std::span<const DataRange> ranges, oci::FetchClass fetch_class,
                            uint64_t size_bytes) {
  std::vector<uint32_t> wanted;
  std::vector<Fetch> fetches;
  {
    MutexLock lock(mutex_);
    if (closed_ || table_.codec() == Codec::kWhole) {
      return false;
    }
    for (const DataRange& range : ranges) {
      const ChunkSpan span = table_.Find(range);
      for (uint32_t chunk = span.first; chunk < span.last; ++chunk) {
        if (const uint32_t member = table_.chunks()[chunk].member; IsFree(member)) {
          wanted.push_back(member);
        }
      }
    }
    SortUnique(wanted);
    fetches = PlanAndMark(wanted, fetch_class,
                          {.neighbourhood_bytes = 0,
                           .merge_gap_bytes = size_bytes / 4,
                           .request_bytes = limits_.request_bytes});
  }
  for (Fetch& fetch : fetches) {
    fetch.has_room = true;
    StartFetch(fetch);
  }
  return !fetches.empty();
}

void LazyLayer::WhenComplete(std::function<void()> done) {
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return;
    }
    on_complete_ = std::move(done);
  }
  PostToCpu(Urgency::kWelcome, [self = shared_from_this()] { self->CheckCompletion(); });
}

void LazyLayer::HoldReadahead(bool is_held) {
  MutexLock lock(mutex_);
  ahead_.HoldReadahead(is_held);
}

void LazyLayer::FetchAll() {
  if (!scheduler_) {
    return;
  }
  {
    MutexLock lock(mutex_);
    ahead_.FetchAll();
  }
  EnlistFeed(oci::FetchClass::kBackground);
  BeginCopies();
}

/// Complete are those layers of which nothing is on its way either: a chunk is present before its
/// member's gaps are kept.
void LazyLayer::CheckCompletion() {
  if (!stored_->complete()) {
    return;
  }
  std::function<void()> done;
  {
    MutexLock lock(mutex_);
    if (!in_flight_.empty()) {
      return;  // the last of them comes here again
    }
    done.swap(on_complete_);
  }
  if (done) {
    done();
  }
}

/// Nothing is background work any more, and everything absent is again, after a pause.
void LazyLayer::RetryLater() {
  {
    MutexLock lock(mutex_);
    ahead_.PauseBackground();
    if (closed_ || !ahead_.fetches_all() || std::exchange(retries_later_, true)) {
      return;
    }
  }
  scheduler_->RunAfter(kBackgroundPause, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      {
        MutexLock lock(self->mutex_);
        self->retries_later_ = false;
      }
      self->FetchAll();
    }
  });
}

bool LazyLayer::IsFree(uint32_t member) const {
  return !in_flight_.contains(member) && !IsShared(member) && !rotten_.contains(member) &&
         IsAbsent(member);
}

Status LazyLayer::RottenAt(uint32_t member, BlobSources::TimePoint now) {
  const auto found = rotten_.find(member);
  if (found == rotten_.end()) {
    return OkStatus();
  }
  if (now < found->second.until) {
    return found->second.error;
  }
  rotten_.erase(found);
  return OkStatus();
}

void LazyLayer::Quarantine(uint32_t member, const Status& error) {
  const bool is_wrong = error.code() == StatusCode::kDataLoss;
  const auto until = Now() + (is_wrong ? kQuarantine : kRefusedPause);
  MutexLock lock(mutex_);
  rotten_[member] = {.until = until, .error = error};
}

void LazyLayer::OnWrongBytes(BlobSources::Id source, uint32_t member, const Status& error) {
  const auto spoiled = sources_.OnSpoiled(source, Now());
  if (spoiled && on_wrong_bytes_) {
    const MemberRecord& record = table_.members()[member];
    on_wrong_bytes_({.source = spoiled->name,
                     .host = spoiled->host,
                     .layer = key().layer,
                     .range = record.range(),
                     .error = error});
  }
}

Worth LazyLayer::WorthOfMember(uint32_t member) const {
  if (!IsFree(member)) {
    return Worth::kNothing;
  }
  return table_.IsUnlikely(member) ? Worth::kLittle : Worth::kMuch;
}

bool LazyLayer::IsAbsent(uint32_t member) const {
  return std::ranges::any_of(table_.ChunksOf(member),
                             [this](uint32_t chunk) { return !stored_->IsPresent(chunk); });
}

bool LazyLayer::TakeSpilled(uint32_t chunk, Request& request) {
  const auto found = std::ranges::find(spilled_, chunk, &SpilledChunk::chunk);
  if (request.wants != Wants::kBytes || found == spilled_.end()) {
    return false;
  }
  MutexLock lock(request.mutex);
  request.spilled.push_back(*found);
  return true;
}

/// Takes a member that is on its way from other layers; fetches it if they do not have it any more
/// and somebody waits.
void LazyLayer::CopyMember(uint32_t member, oci::FetchClass fetch_class) {
  std::shared_ptr<const SharedChunks> shared;
  {
    MutexLock lock(mutex_);
    shared = shared_;
  }
  const StatusOr<uint64_t> copied =
      shared ? CopyChunks(member, *shared)
             : MakeError(StatusCode::kNotFound, "layer: nothing is shared");
  bool is_awaited = false;
  bool fetches_later = false;
  {
    MutexLock lock(mutex_);
    if (IsShared(member)) {
      is_shared_[member] = false;
      if (--shared_left_ == 0) {
        shared_.reset();
      }
    }
    const auto found = in_flight_.find(member);
    is_awaited = found != in_flight_.end() && !found->second.empty();
    if (!copied.ok() && !is_awaited && found != in_flight_.end()) {
      in_flight_.erase(found);
      fetches_later = ahead_.fetches_all();
    }
  }
  if (copied.ok()) {
    Count([copied_bytes = *copied](FetchCounters& counters) {
      counters.copied_bytes.fetch_add(copied_bytes, std::memory_order_relaxed);
    });
    Finish(member, {});
  } else if (is_awaited) {
    StartFetch({.plan = FetchOf(member), .fetch_class = fetch_class});
  } else if (fetches_later) {
    FetchAll();
  }
}

/// How many bytes other layers had.
StatusOr<uint64_t> LazyLayer::CopyChunks(uint32_t member, const SharedChunks& shared) {
  uint64_t copied_bytes = 0;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (stored_->IsPresent(chunk)) {
      continue;
    }
    const ChunkRecord& record = table_.chunks()[chunk];
    if (stored_->IsDoubtful(chunk) &&
        stored_->Reclaim(chunk, record.data_address, record.size_bytes, oci::Digest(record.digest))
            .ok()) {
      continue;
    }
    if (!shared.Has(chunk)) {
      return MakeError(StatusCode::kNotFound, "layer: no other layer holds a chunk");
    }
    RETURN_IF_ERROR(shared.CopyTo(*stored_, table_, chunk));
    copied_bytes += record.size_bytes;
  }
  return copied_bytes;
}

/// A request for one member alone.
PlannedFetch LazyLayer::FetchOf(uint32_t member) const {
  return {
      .range = table_.members()[member].range(), .first_member = member, .last_member = member + 1};
}

void LazyLayer::BeginCopies() {
  {
    MutexLock lock(mutex_);
    if (!shared_ || std::exchange(copies_, true)) {
      return;
    }
  }
  PostToCpu(Urgency::kWelcome, [self = shared_from_this()] { self->CopyNext(); });
}

/// Takes one member after the other from other layers while there is nothing better to do.
void LazyLayer::CopyNext() {
  uint32_t member = 0;
  {
    MutexLock lock(mutex_);
    const auto count = static_cast<uint32_t>(is_shared_.size());
    while (next_copy_ < count && (!is_shared_[next_copy_] || in_flight_.contains(next_copy_))) {
      ++next_copy_;
    }
    if (closed_ || !ahead_.fetches_all() || next_copy_ == count) {
      copies_ = false;
      return;
    }
    member = next_copy_++;
    in_flight_.try_emplace(member);
  }
  CopyMember(member, oci::FetchClass::kBackground);
  PostToCpu(Urgency::kWelcome, [self = shared_from_this()] { self->CopyNext(); });
}

void LazyLayer::StartFetch(const Fetch& asked) {
  if (const Status places = CheckFiles(); !places.ok()) {
    for (uint32_t member = asked.plan.first_member; member < asked.plan.last_member; ++member) {
      Finish(member, {.error = places});
    }
    return;
  }
  Fetch fetch = asked;
  fetch.begun = asked.begun.value_or(Now());
  const MemberRecord& first = table_.members()[fetch.plan.first_member];
  if (table_.codec() == Codec::kWhole) {
    if (refetch_) {
      const auto spills = std::make_shared<Spills>();
      refetch_(
          [self = shared_from_this(), member = fetch.plan.first_member, spills](
              uint32_t chunk, ByteSpan bytes) { self->OnSpilled(member, chunk, bytes, *spills); },
          [self = shared_from_this(), fetch, spills](const Status& status) {
            self->PostToCpu(Urgency::kAwaited, [self, fetch, spills, status] {
              self->OnRefetched(fetch, *spills, status);
            });
          });
      return;
    }
    Finish(fetch.plan.first_member,
           {.error = MakeError(StatusCode::kFailedPrecondition,
                               "layer: it was fetched as a whole and has lost a part: remove its "
                               "image and pull it again")});
    return;
  }
  if (first.blob_size > kMaxMemberBytes) {
    Finish(fetch.plan.first_member,
           {.error = MakeError(StatusCode::kResourceExhausted,
                               fmt::format("a member of {} bytes, more than the {} that are taken "
                                           "into memory",
                                           first.blob_size, kMaxMemberBytes))});
    return;
  }
  const std::optional<BlobSources::Source> source = sources_.Opened(fetch.sources, Now());
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return;  // Close has answered everybody
    }
    if (!source) {
      waiting_for_source_.push_back(fetch);
      if (std::exchange(opening_, true)) {
        return;
      }
    }
  }
  if (source) {
    ReadOnceThereIsRoom(*source, fetch);
  } else {
    PostToCpu(Urgency::kAwaited, [self = shared_from_this()] { self->OpenSources(); });
  }
}

/// Starts the fetches and feeds that wait for a source. One call runs at a time, so each source is
/// opened once.
void LazyLayer::OpenSources() {
  for (;;) {
    std::vector<Fetch> fetches;
    std::set<oci::FetchClass> feeds;
    {
      MutexLock lock(mutex_);
      fetches.swap(waiting_for_source_);
      feeds.swap(feeds_waiting_for_source_);
      if (fetches.empty() && feeds.empty()) {
        opening_ = false;
        return;
      }
    }
    for (Fetch& fetch : fetches) {
      const auto source = sources_.OpenBest(fetch.sources, Now());
      if (source.ok()) {
        ReadOnceThereIsRoom(*source, fetch);
      } else {
        OnFetchFailed(fetch, source.status());
      }
    }
    if (!feeds.empty()) {
      EnlistOnceOpen(feeds);
    }
  }
}

void LazyLayer::EnlistOnceOpen(const std::set<oci::FetchClass>& feeds) {
  BlobSources::Experience none;
  if (!sources_.OpenBest(none, Now()).ok()) {
    RetryLater();
    return;
  }
  for (const oci::FetchClass fetch_class : feeds) {
    EnlistFeed(fetch_class);
  }
}

/// What nobody let in takes its memory from the budget first.
void LazyLayer::ReadOnceThereIsRoom(const BlobSources::Source& source, const Fetch& fetch) {
  if (!scheduler_ || fetch.has_room) {
    ReadBlob(source, fetch, nullptr);
    return;
  }
  const uint64_t size_bytes = fetch.plan.range.size_bytes + DecodedBytesOf(fetch.plan);
  auto room = scheduler_->demand_budget().Take(
      {.host = source.host, .layer = this, .size_bytes = size_bytes, .since = *fetch.begun},
      [weak = weak_from_this(), source,
       fetch](const StatusOr<std::shared_ptr<BufferBudget::Room>>& later) {
        const auto self = weak.lock();
        if (!self) {
          return;
        }
        if (!later.ok()) {
          self->GoOnOrFail(fetch, source.id, later.status());
          return;
        }
        self->PostToCpu(Urgency::kAwaited, [self, source, fetch, room = *later] {
          self->ReadBlob(source, fetch, room);
        });
      });
  if (room) {
    ReadBlob(source, fetch, std::move(room));
  }
}

/// The memory that its largest member takes when it is decoded, if that is worth counting.
uint64_t LazyLayer::DecodedBytesOf(const PlannedFetch& plan) const {
  uint64_t largest = 0;
  for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
    for (const uint32_t chunk : table_.ChunksOf(member)) {
      const ChunkRecord& record = table_.chunks()[chunk];
      largest = std::max(largest, record.inner_offset + record.size_bytes);
    }
  }
  // More is refused before it takes any.
  return largest > kCountedDecodedBytes ? std::min(largest, kMaxMemberBytes) : 0;
}

void LazyLayer::ReadBlob(const BlobSources::Source& source, const Fetch& fetch,
                         std::shared_ptr<BufferBudget::Room> room) {
  const auto download = std::make_shared<Download>(fetch, std::move(room));
  const auto attempt =
      std::make_shared<Attempt>(Attempt{.source = source, .sent = Now(), .flight = {}, .stop = {}});
  {
    MutexLock lock(download->mutex);
    download->running.push_back(attempt);
  }
  oci::ReadOptions options{.fetch_class = fetch.fetch_class};
  BlobSources::Experience after_failure = fetch.sources;
  after_failure.failed.push_back(source.id);
  if (sources_.HasOther(after_failure)) {
    options.max_retries = kRetriesBeforeTheNext;
  }
  HedgeIfLate(download, source.host);
  SendAttempt(download, attempt, options);
}

void LazyLayer::SendAttempt(const std::shared_ptr<Download>& download,
                            const std::shared_ptr<Attempt>& attempt,
                            const oci::ReadOptions& options) {
  const Fetch& fetch = download->fetch;
  const Purpose purpose = PurposeOf(fetch.fetch_class);
  if (!Count([&](FetchCounters& counters) { counters.CountRequest(purpose); })) {
    return;
  }
  tally_.OnRequest(purpose);
  if (scheduler_) {
    attempt->flight =
        scheduler_->Begin(attempt->source.host, fetch.fetch_class, fetch.plan.range.size_bytes,
                          attempt->source.image, DecodedBytesOf(fetch.plan));
  }
  oci::ReadOptions with_stop = options;
  with_stop.stop = attempt->stop.get_token();
  // The callbacks own layer and reader, so both outlive them.
  attempt->source.reader->Stream(
      fetch.plan.range, with_stop,
      [self = shared_from_this(), download, attempt](ByteSpan part) {
        self->OnPart(download, attempt, part);
      },
      [self = shared_from_this(), download, attempt](const Status& status) {
        self->OnEnded(download, attempt, status);
      });
}

/// A refetch is not hedged: the other source is where it came from.
void LazyLayer::HedgeIfLate(const std::shared_ptr<Download>& download, const std::string& host) {
  if (scheduler_ && !download->fetch.is_refetch) {
    const bool is_awaited = download->fetch.fetch_class == oci::FetchClass::kDemand;
    HedgeAfter(is_awaited ? scheduler_->LateAfter(host) : kHedgeAgain, download);
  }
}

void LazyLayer::HedgeAfter(std::chrono::milliseconds delay,
                           const std::shared_ptr<Download>& download) {
  scheduler_->RunAfter(
      delay, [weak = weak_from_this(), weak_download = std::weak_ptr<Download>(download)] {
        const auto late = weak_download.lock();
        const auto self = weak.lock();
        if (late && self) {
          self->PostToCpu(Urgency::kAwaited, [self, late] { self->Hedge(late); });
        }
      });
}

/// Sends what is late a second time: to another source that is well, or else to the same one; what
/// nobody waited for at first only when its host is away, since somebody may by now. As long as it
/// waits, others may get well, or be named.
void LazyLayer::Hedge(const std::shared_ptr<Download>& download) {
  const std::vector<std::shared_ptr<Attempt>> running = download->Running();
  if (running.empty()) {
    return;
  }
  const auto is_paused = [](const auto& attempt) { return attempt->source.reader->IsPaused(); };
  const bool all_wait = std::ranges::all_of(running, is_paused);
  BlobSources::Experience elsewhere = download->fetch.sources;
  for (const std::shared_ptr<Attempt>& attempt : running) {
    elsewhere.failed.push_back(attempt->source.id);
  }
  const bool is_awaited = download->fetch.fetch_class == oci::FetchClass::kDemand;
  std::optional<BlobSources::Source> to;
  oci::ReadOptions options{
      .fetch_class = download->fetch.fetch_class, .max_retries = 0, .own_connection = true};
  if (all_wait || (is_awaited && running.size() == 1)) {
    if (sources_.HasHealthyOther(elsewhere, Now())) {
      if (auto other = sources_.OpenBest(elsewhere, Now()); other.ok()) {
        to = *std::move(other);
        options.own_connection = false;
      }
    }
    if (!to && is_awaited && !std::exchange(download->was_repeated, true)) {
      to = running.front()->source;
    }
  }
  // Another place costs nobody anything while the first one is away.
  const bool is_free = to && to->id != running.front()->source.id && all_wait;
  if (to && !to->reader->IsPaused() &&
      (is_free || scheduler_->TakeHedge(running.front()->source.host))) {
    const auto next =
        std::make_shared<Attempt>(Attempt{.source = *to, .sent = Now(), .flight = {}, .stop = {}});
    if (download->Add(next)) {
      Count([](FetchCounters& counters) {
        counters.second_requests.fetch_add(1, std::memory_order_relaxed);
      });
      SendAttempt(download, next, options);
    }
  }
  HedgeAfter(kHedgeAgain, download);
}

/// Cuts what comes into members and hands on each that is whole.
void LazyLayer::OnPart(const std::shared_ptr<Download>& download,
                       const std::shared_ptr<Attempt>& attempt, ByteSpan part) {
  const Purpose purpose = PurposeOf(download->fetch.fetch_class);
  if (!Count([&](FetchCounters& counters) { counters.CountBytes(purpose, part.size()); })) {
    return;
  }
  tally_.OnBytes(purpose, part.size());
  attempt->came_bytes += part.size();
  if (attempt->flight) {
    attempt->flight->OnBytes(part.size());
  }
  if (!download->Wins(attempt)) {
    return;
  }
  while (!part.empty() && download->member < download->fetch.plan.last_member) {
    const uint64_t member_bytes = table_.members()[download->member].blob_size;
    Bytes& bytes = download->bytes;
    bytes.reserve(std::min(member_bytes, kReservedBytes));
    const ByteSpan taken = part.first(std::min<uint64_t>(part.size(), member_bytes - bytes.size()));
    bytes.insert(bytes.end(), taken.begin(), taken.end());
    part = part.subspan(taken.size());
    if (bytes.size() == member_bytes) {
      const uint32_t member = download->member++;
      PostDecode(member, [self = shared_from_this(), download, attempt, member, came = Now(),
                          compressed = std::make_shared<const Bytes>(std::exchange(bytes, {}))] {
        const Fetch& fetch = download->fetch;
        // What failed elsewhere before is the network's part, too.
        self->DecodeMember(fetch,
                           {.source = attempt->source.id,
                            .sent = fetch.sources.failed.empty() ? attempt->sent : *fetch.begun,
                            .came = came},
                           member, *compressed);
      });
    }
  }
}

void LazyLayer::OnEnded(const std::shared_ptr<Download>& download,
                        const std::shared_ptr<Attempt>& attempt, Status status) {
  Fetch failed = download->fetch;
  const Purpose purpose = PurposeOf(failed.fetch_class);
  Count([&, taken = Now() - attempt->sent](FetchCounters& counters) {
    counters.Of(purpose).durations.Observe(taken);
  });
  TraceFetch(failed, *attempt, status);
  bool may_still_come = false;
  {
    MutexLock lock(download->mutex);
    if (!download->winner) {
      std::erase(download->running, attempt);
      may_still_come = !download->running.empty();
      if (may_still_come) {
        download->lost_sources.push_back(attempt->source.id);
      } else {
        download->winner = attempt;
      }
    }
    if (!may_still_come && download->winner != attempt) {
      return;
    }
    std::ranges::copy(download->lost_sources, std::back_inserter(failed.sources.failed));
  }
  if (may_still_come) {
    sources_.OnFailed(attempt->source.id, Now());
    return;
  }
  PlannedFetch& rest = failed.plan;
  if (download->member == rest.last_member) {
    return;
  }
  if (status.ok()) {
    status = MakeError(StatusCode::kDataLoss, "layer: a range of the wrong size arrived");
  }
  rest.first_member = download->member;
  const uint64_t rest_offset = table_.members()[rest.first_member].blob_offset;
  rest.range = {.blob_offset = rest_offset, .size_bytes = rest.range.end() - rest_offset};
  const bool goes_on = GoOnOrFail(failed, attempt->source.id, status);
  if (!goes_on && scheduler_ && IsOutage(status.code())) {
    // Before its room is another's. The first two are a host's: it has been waited for.
    const bool is_of_host =
        status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kDeadlineExceeded;
    scheduler_->demand_budget().GiveUp(attempt->source.host, is_of_host ? nullptr : this,
                                       *failed.begun + kLateAfter, status);
  }
}

void LazyLayer::TraceFetch(const Fetch& fetch, const Attempt& attempt, const Status& status) const {
  const std::span<const uint32_t> first = table_.ChunksOf(fetch.plan.first_member);
  const std::span<const uint32_t> last = table_.ChunksOf(fetch.plan.last_member - 1);
  DataRange range;
  if (!first.empty() && !last.empty()) {
    const uint64_t begin = table_.chunks()[first.front()].data_address;
    const uint64_t end = table_.chunks()[last.back()].range().end();
    range = {.data_address = begin, .size_bytes = std::max(end, begin + 1) - begin};
  }
  const auto ended = SystemClock().WallTime();
  Trace({.layer = {},
         .purpose = PurposeOf(fetch.fetch_class),
         .range = range,
         .bytes = attempt.came_bytes,
         .sent = ended - (Now() - attempt.sent),
         .ended = ended,
         .failed = !status.ok()});
}

void LazyLayer::Trace(TracedFetch fetch) const {
  if (fetches_) {
    fetch.layer = key();
    fetches_->Add(fetch);
  }
}

/// True when it goes on.
bool LazyLayer::GoOnOrFail(Fetch fetch, BlobSources::Id source, const Status& error) {
  const bool goes_on = GoesOnElsewhere(fetch, source, error);
  if (goes_on) {
    Count([](FetchCounters& counters) {
      counters.moved_fetches.fetch_add(1, std::memory_order_relaxed);
    });
  }
  PostToCpu(Urgency::kAwaited,
            [self = shared_from_this(), fetch = std::move(fetch), error, goes_on] {
              if (goes_on) {
                self->StartFetch(fetch);
              } else {
                self->OnFetchFailed(fetch, error);
              }
            });
  return goes_on;
}

/// Notes that `fetch` failed at `source`. True when another source may do better.
bool LazyLayer::GoesOnElsewhere(Fetch& fetch, BlobSources::Id source, const Status& error) {
  if (error.code() == StatusCode::kCancelled) {
    return false;
  }
  sources_.OnFailed(source, Now());
  const bool is_first = fetch.sources.failed.empty();
  fetch.sources.failed.push_back(source);
  // With the deadline the time of those who wait is over, too. What says something about the bytes
  // deserves one second opinion.
  return error.code() != StatusCode::kDeadlineExceeded &&
         (is_first || IsTransportError(error.code())) && sources_.HasOther(fetch.sources);
}

/// Members that somebody waits for come first: by now, or once somebody does.
void LazyLayer::PostDecode(uint32_t member, std::function<void()> decode) {
  auto undecoded =
      std::make_shared<Undecoded>(Undecoded{.member = member, .decode = std::move(decode)});
  bool is_awaited = false;
  {
    MutexLock lock(mutex_);
    const auto found = in_flight_.find(member);
    is_awaited = found != in_flight_.end() && !found->second.empty();
    if (!is_awaited && found != in_flight_.end()) {
      undecoded_[member] = undecoded;
    }
  }
  PostDecodeNow(std::move(undecoded), is_awaited ? Urgency::kAwaited : Urgency::kWelcome);
}

/// May be posted twice: the first to run decodes.
void LazyLayer::PostDecodeNow(std::shared_ptr<Undecoded> undecoded, Urgency urgency) {
  PostToCpu(urgency, [self = shared_from_this(), undecoded = std::move(undecoded)] {
    std::function<void()> decode;
    {
      MutexLock lock(self->mutex_);
      decode.swap(undecoded->decode);
      const auto found = self->undecoded_.find(undecoded->member);
      if (found != self->undecoded_.end() && found->second == undecoded) {
        self->undecoded_.erase(found);
      }
    }
    if (decode) {
      decode();
    }
  });
}

/// A chunk of a layer that is fetched again as a whole, and that the disk does not take: memory
/// does, if somebody waits for it. Who waits for what is too much for that, or comes after it, has
/// the layer fetched once more.
void LazyLayer::OnSpilled(uint32_t member, uint32_t chunk, ByteSpan bytes, Spills& spills) {
  bool is_awaited = false;
  {
    MutexLock lock(mutex_);
    const auto found = in_flight_.find(member);
    is_awaited = found != in_flight_.end() &&
                 std::ranges::any_of(found->second,
                                     [&](const auto& request) { return request->Needs(chunk); });
  }
  MutexLock lock(spills.mutex);
  if (is_awaited && (spills.chunks.empty() || spills.size_bytes + bytes.size() <= kSpillBytes)) {
    spills.size_bytes += bytes.size();
    spills.chunks.push_back(
        {.chunk = chunk, .bytes = std::make_shared<Bytes>(bytes.begin(), bytes.end())});
  }
}

/// All of the layer was fetched again. What the disk does not give however often it is written is
/// not worth the next time.
void LazyLayer::OnRefetched(const Fetch& fetch, Spills& spills, const Status& status) {
  if (!status.ok()) {
    OnFetchFailed(fetch, status);
    return;
  }
  const uint32_t member = fetch.plan.first_member;
  Outcome outcome;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (IsAvoided(chunk)) {
      outcome.failed_chunks.emplace_back(
          chunk, MakeError(StatusCode::kInternal, "layer: the disk does not keep a chunk"));
    }
  }
  if (!outcome.failed_chunks.empty()) {
    Quarantine(member, outcome.failed_chunks.front().second);
  }
  {
    MutexLock lock(spills.mutex);
    outcome.spilled.swap(spills.chunks);
  }
  Finish(member, outcome);
}

void LazyLayer::OnFetchFailed(const Fetch& fetch, const Status& error) {
  const PlannedFetch& plan = fetch.plan;
  if (IsOutage(error.code())) {
    if (const auto rest = FailThoseInTime(fetch, error)) {
      StartFetch(*rest);
      return;
    }
  }
  if (plan.last_member - plan.first_member == 1 || IsTransportError(error.code())) {
    if (IsTransportError(error.code())) {
      RetryLater();  // first, so that the feed does not take what is free again now
    } else {
      Quarantine(plan.first_member, error);
    }
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      Finish(member, {.error = error, .moments = MomentsOfFailure(fetch)});
    }
    return;
  }
  // Something in the range is broken: those who wait for the rest of it must not suffer.
  std::vector<uint32_t> awaited;
  {
    MutexLock lock(mutex_);
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      const auto found = in_flight_.find(member);
      if (found == in_flight_.end()) {
        continue;
      }
      if (found->second.empty()) {
        in_flight_.erase(found);
      } else {
        awaited.push_back(member);
      }
    }
  }
  for (const uint32_t member : awaited) {
    StartFetch({.plan = FetchOf(member), .fetch_class = fetch.fetch_class});
  }
}

/// All of its time was spent on asking.
ReadTimes::Moments LazyLayer::MomentsOfFailure(const Fetch& fetch) const {
  const BlobSources::TimePoint now = Now();
  return {.sent = fetch.begun.value_or(now), .came = now, .stored = now};
}

/// Fails those who have waited since the fetch began. The fetch that the others need, if there are
/// any: it takes the place of this one.
std::optional<LazyLayer::Fetch> LazyLayer::FailThoseInTime(const Fetch& fetch,
                                                           const Status& error) {
  const PlannedFetch& plan = fetch.plan;
  const auto is_late = [begun = fetch.begun.value_or(Now())](const auto& request) {
    return request->started - begun > kLateAfter;
  };
  std::optional<Fetch> rest;
  std::vector<std::shared_ptr<Request>> failed;
  {
    MutexLock lock(mutex_);
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      const auto found = in_flight_.find(member);
      if (found == in_flight_.end()) {
        continue;
      }
      for (const auto& request : found->second) {
        if (is_late(request)) {
          rest = rest.value_or(Fetch{.plan = plan, .fetch_class = request->fetch_class});
          rest->fetch_class = std::min(rest->fetch_class, request->fetch_class);
        }
      }
    }
    if (!rest) {
      return std::nullopt;
    }
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      const auto found = in_flight_.find(member);
      if (found == in_flight_.end()) {
        continue;
      }
      const auto first_failed =
          std::stable_partition(found->second.begin(), found->second.end(), is_late);
      failed.insert(failed.end(), first_failed, found->second.end());
      found->second.erase(first_failed, found->second.end());
    }
  }
  for (const std::shared_ptr<Request>& request : failed) {
    Settle(request, {.error = error, .moments = MomentsOfFailure(fetch)});
  }
  return rest;
}

void LazyLayer::NoteArrival(uint32_t member, Purpose purpose) {
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (stored_->IsPresent(chunk)) {
      tally_.OnCame(chunk, purpose);
    }
  }
}

void LazyLayer::DecodeMember(const Fetch& fetch, const Arrival& arrival, uint32_t member,
                             ByteSpan compressed) {
  const std::optional<BlobSources::Id> source = arrival.source;
  const auto begun = Now();
  Outcome outcome = StoreMember(member, compressed);
  outcome.moments = {.sent = arrival.sent, .came = arrival.came, .stored = Now()};
  // Only what came along with the blob's index has no source.
  NoteArrival(member, source ? PurposeOf(fetch.fetch_class) : Purpose::kIndex);
  const Status wrong = outcome.FirstDataLoss();
  Count([&, taken = outcome.moments.stored - begun](FetchCounters& counters) {
    counters.decodes.Observe(taken);
    counters.wrong_members.fetch_add(wrong.ok() ? 0 : 1, std::memory_order_relaxed);
  });
  if (!wrong.ok() && source) {
    OnWrongBytes(*source, member, wrong);
  }
  if (!wrong.ok() && !fetch.is_refetch) {
    // A cache on the way may have spoiled it: ask once more, elsewhere if possible.
    StartFetch({.plan = FetchOf(member),
                .fetch_class = fetch.fetch_class,
                .is_refetch = true,
                .sources = {.failed = {}, .spoiled = source}});
    return;
  }
  if (!wrong.ok()) {
    Quarantine(member, wrong);
  }
  Finish(member, outcome);
}

/// The first `wanted_bytes` of a member; all of it when its gaps are kept and that can be had.
StatusOr<LazyLayer::Decoded> LazyLayer::Decode(uint32_t member, ByteSpan compressed,
                                               uint64_t wanted_bytes) const {
  if (gaps_) {
    if (StatusOr<DecodedBytes> whole = DecodeWholeMember(table_, member, compressed); whole.ok()) {
      return Decoded{.bytes = *std::move(whole), .is_whole = true};
    }
  }
  ASSIGN_OR_RETURN(DecodedBytes prefix,
                   layer::DecodeMember(table_, member, compressed, wanted_bytes));
  return Decoded{.bytes = std::move(prefix), .is_whole = false};
}

/// Decodes a member as far as its absent chunks reach, verifies and stores them.
LazyLayer::Outcome LazyLayer::StoreMember(uint32_t member, ByteSpan compressed) {
  std::vector<uint32_t> absent;
  uint64_t decoded_bytes = 0;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (!stored_->IsPresent(chunk)) {
      const ChunkRecord& record = table_.chunks()[chunk];
      absent.push_back(chunk);
      decoded_bytes = std::max(decoded_bytes, record.inner_offset + record.size_bytes);
    }
  }
  Outcome outcome;
  if (absent.empty()) {
    return outcome;
  }
  const StatusOr<Decoded> decoded = Decode(member, compressed, decoded_bytes);
  if (!decoded.ok()) {
    const Status& error = decoded.status();
    outcome.error =
        error.code() != StatusCode::kDataLoss
            ? error
            : MakeError(error.code(),
                        fmt::format("bytes with the digest {} do not decode to chunk {} with the "
                                    "digest {}: {}",
                                    oci::Digest::Of(compressed).ToString(), absent.front(),
                                    oci::Digest(table_.chunks()[absent.front()].digest).ToString(),
                                    MessageOf(error)));
    return outcome;
  }
  for (const uint32_t chunk : absent) {
    const ChunkRecord& record = table_.chunks()[chunk];
    const oci::Digest digest(record.digest);
    const ByteSpan bytes = decoded->bytes.span().subspan(record.inner_offset, record.size_bytes);
    Status status = IsAvoided(chunk) ? MakeError(StatusCode::kInternal, "layer: a broken disk")
                                     : stored_->Put(chunk, record.data_address, bytes, digest);
    // Whatever the disk has against it: readers need the bytes alone. Only what is proven leaves
    // this function, so the digest is asked here too.
    if (!status.ok() && status.code() != StatusCode::kDataLoss &&
        oci::Digest::Of(bytes) == digest) {
      outcome.spilled.push_back(
          {.chunk = chunk, .bytes = std::make_shared<Bytes>(bytes.begin(), bytes.end())});
    } else if (!status.ok()) {
      outcome.failed_chunks.emplace_back(chunk, std::move(status));
    }
  }
  if (decoded->is_whole && outcome.failed_chunks.empty() && outcome.spilled.empty()) {
    gaps_->Add(table_, member, decoded->bytes.span());
  }
  return outcome;
}

void LazyLayer::Finish(uint32_t member, const Outcome& outcome) {
  std::vector<std::shared_ptr<Request>> waiting;
  {
    MutexLock lock(mutex_);
    const auto found = in_flight_.find(member);
    if (found == in_flight_.end()) {
      return;  // closed meanwhile
    }
    waiting = std::move(found->second);
    in_flight_.erase(found);
    for (const SpilledChunk& spilled : outcome.spilled) {
      spilled_.push_back(spilled);
      spilled_bytes_ += spilled.bytes->size();
    }
    while (spilled_bytes_ > kSpillBytes) {
      spilled_bytes_ -= spilled_.front().bytes->size();
      spilled_.pop_front();
    }
    if (!outcome.spilled.empty()) {
      // The disk is full: what nobody asks for would find no room.
      ahead_.Clear();
    }
  }
  for (const std::shared_ptr<Request>& request : waiting) {
    Settle(request, outcome);
  }
  CheckCompletion();
}

void LazyLayer::Settle(const std::shared_ptr<Request>& request, const Outcome& outcome) {
  {
    MutexLock lock(request->mutex);
    request->error.Update(outcome.error);
    request->moments = outcome.moments;
    for (const auto& [chunk, error] : outcome.failed_chunks) {
      if (request->Needs(chunk)) {
        request->error.Update(error);
      }
    }
    for (const SpilledChunk& spilled : outcome.spilled) {
      if (!request->Needs(spilled.chunk)) {
        continue;
      }
      if (request->wants == Wants::kBytes) {
        request->spilled.push_back(spilled);
      } else {
        request->error.Update(MakeError(StatusCode::kResourceExhausted, "layer: the disk is full"));
      }
    }
    if (--request->members_left > 0) {
      return;
    }
  }
  Answer(request);
}

void LazyLayer::Answer(const std::shared_ptr<Request>& request) {
  Status error;
  std::vector<SpilledChunk> spilled;
  {
    MutexLock lock(request->mutex);
    error = request->error;
    spilled.swap(request->spilled);
  }
  if (error.ok() && table_.codec() == Codec::kWhole && !HasAll(*request, spilled)) {
    Start(request);  // lost, or read, while the layer was fetched again
    return;
  }
  if (!error.ok() || request->wants == Wants::kPresence) {
    Reply(*request, error.ok() ? StatusOr<Bytes>(Bytes()) : error);
    return;
  }
  Bytes out(request->range.size_bytes);
  const DataRange range = request->range;
  uint64_t before = 0;
  do {
    before = stored_->evictions();
    if (!HasAll(*request, spilled)) {
      Start(request);  // something was evicted before it could be read
      return;
    }
    if (Status status = ReadHeld(*request, spilled, out); !status.ok()) {
      if (DistrustUnreadable(request->chunks, status)) {
        Start(request);
      } else {
        Reply(*request, status);
      }
      return;
    }
  } while (stored_->evictions() != before);
  for (const SpilledChunk& part : spilled) {
    const DataRange chunk = table_.chunks()[part.chunk].range();
    const DataRange common = Common(chunk, range);
    std::memcpy(out.data() + (common.data_address - range.data_address),
                part.bytes->data() + (common.data_address - chunk.data_address), common.size_bytes);
  }
  const Status places = CheckFiles();
  Reply(*request, places.ok() ? StatusOr<Bytes>(std::move(out)) : places);
}

/// Reads into `out`, of zeros, what of the request is on the disk, and nothing in the place of what
/// is not: it may be in memory because the disk does not give that.
Status LazyLayer::ReadHeld(const Request& request, std::span<const SpilledChunk> spilled,
                           std::span<std::byte> out) const {
  const DataRange range = request.range;
  if (spilled.empty()) {
    return stored_->Read(range.data_address, out);
  }
  for (uint32_t chunk = request.chunks.first; chunk < request.chunks.last; ++chunk) {
    if (std::ranges::find(spilled, chunk, &SpilledChunk::chunk) != spilled.end()) {
      continue;
    }
    const DataRange held = Common(table_.chunks()[chunk].range(), range);
    RETURN_IF_ERROR(stored_->Read(
        held.data_address, out.subspan(held.data_address - range.data_address, held.size_bytes)));
  }
  return OkStatus();
}

bool LazyLayer::HasAll(const Request& request, std::span<const SpilledChunk> spilled) const {
  for (uint32_t chunk = request.chunks.first; chunk < request.chunks.last; ++chunk) {
    if (!stored_->IsPresent(chunk) &&
        std::ranges::find(spilled, chunk, &SpilledChunk::chunk) == spilled.end()) {
      return false;
    }
  }
  return true;
}

bool LazyLayer::PostToCpu(Urgency urgency, std::function<void()> task) {
  MutexLock lock(mutex_);
  if (closed_) {
    return false;
  }
  // Under the lock, so that Close ends every use of the executor.
  if (urgency == Urgency::kAwaited) {
    cpu_.PostUrgent(std::move(task));
  } else {
    cpu_.Post(std::move(task));
  }
  return true;
}

void LazyLayer::Close() {
  std::unordered_map<uint32_t, std::vector<std::shared_ptr<Request>>> in_flight;
  std::unordered_map<uint32_t, std::shared_ptr<Undecoded>> undecoded;
  std::function<void()> on_complete;  // may own what waits for this layer; goes after the lock
  {
    MutexLock lock(mutex_);
    closed_ = true;
    in_flight.swap(in_flight_);
    undecoded.swap(undecoded_);
    waiting_for_source_.clear();
    shared_.reset();
    on_complete.swap(on_complete_);
  }
  if (scheduler_) {
    scheduler_->demand_budget().Forget(this);
  }
  sources_.Close();
  const Outcome outcome{.error = MakeError(StatusCode::kCancelled, "layer: closed")};
  for (const auto& [member, waiting] : in_flight) {
    for (const std::shared_ptr<Request>& request : waiting) {
      Settle(request, outcome);
    }
  }
  MutexLock lock(mutex_);
  counts_ = false;
}

}  // namespace starling::layer
