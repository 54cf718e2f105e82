#include "layer/lazy_layer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "layer/chunk_runs.h"
#include "layer/member_decoder.h"

namespace starling::layer {
namespace {

/// Of what a neighbourhood is else, where readers are likely to read little.
constexpr uint64_t kHeldNeighbourhoodPart = 16;
constexpr std::chrono::seconds kBackgroundPause(30);
/// For so long wrong ranges are not asked for again; other ways to refuse than by wrong bytes may
/// pass sooner.
constexpr std::chrono::seconds kRefusedPause(30);

void SortUnique(std::vector<uint32_t>& members) {
  std::ranges::sort(members);
  members.erase(std::ranges::unique(members).begin(), members.end());
}

}  // namespace

LazyLayer::ContentBytes LazyLayer::ContentBytes::Of(const ChunkTable& table) {
  ContentBytes bytes;
  for (const ChunkRecord& chunk : table.chunks()) {
    bytes.all += chunk.size_bytes;
    bytes.unlikely += (chunk.flags & kUnlikely) != 0 ? chunk.size_bytes : 0;
  }
  return bytes;
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
      content_bytes_(ContentBytes::Of(table_)),
      limits_(limits),
      spilled_(scheduler ? scheduler->spilled_chunks() : std::make_shared<SpilledChunks>()),
      context_(cpu, counters, std::move(scheduler)),
      tally_(table_.chunks().size()),
      members_(stored_, table_),
      downloads_(table_, sources_, tally_, context_),
      reads_(table_.chunks().size()),
      ahead_(table_.members(), table_.blob_size_bytes()) {}

void LazyLayer::SetSources(const std::string& image, const std::string& host,
                           std::vector<BlobSources::Named> sources) {
  sources_.Set(image, host, std::move(sources));
}

void LazyLayer::UseReader(std::shared_ptr<oci::BlobReader> reader) {
  sources_.Use(std::move(reader));
}

void LazyLayer::UseShared(SharedChunks shared) {
  MemberCopies copies = MemberCopies::Find(*stored_, table_, std::move(shared));
  MutexLock lock(mutex_);
  std::swap(copies_, copies);
}

StatusOr<BlobSources::Source> LazyLayer::OpenSource() {
  BlobSources::Experience none;
  return sources_.OpenBest(none, context_.Now());
}

bool LazyLayer::IsPresent(DataRange range) const { return members_.HasAll(table_.Find(range), {}); }

StatusOr<bool> LazyLayer::ReadPresent(uint64_t data_address, std::span<std::byte> out) {
  const auto begun = SystemClock().Now();
  const DataRange range{.data_address = data_address, .size_bytes = out.size()};
  const ChunkSpan chunks = table_.Find(range);
  ASSIGN_OR_RETURN(const bool is_there, members_.Read(range, chunks, {}, out));
  if (is_there) {
    Note(chunks);
    FetchCounters& counters = context_.counters();
    counters.served_bytes.fetch_add(out.size(), std::memory_order_relaxed);
    counters.held_reads.Observe(SystemClock().Now() - begun);
  }
  return is_there;
}

/// A read of these chunks: the recorder's business, what it read is evicted last, and it may show
/// what will be read next.
void LazyLayer::Note(ChunkSpan span) {
  for (uint32_t chunk = span.first; chunk < span.last; ++chunk) {
    if (reads_.Set(chunk)) {
      tally_.OnNeeded(chunk);
    }
  }
  last_read_.store(context_.Now(), std::memory_order_relaxed);
  if (observer_) {
    observer_->OnRead(span.first, span.last);
  }
  ChunkSpan awaited = awaited_.load(std::memory_order_relaxed);
  if (span.first < awaited.last && awaited.first < span.last &&
      awaited_.compare_exchange_strong(awaited, {})) {
    context_.Post(Urgency::kAwaited,
                  [self = shared_from_this(), span] { self->FollowReader(span); });
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
  came_.store(context_.Now(), std::memory_order_relaxed);
}

LayerUse LazyLayer::Use() const {
  return tally_.Use(
      table_, [this](uint32_t chunk) { return stored_->IsPresent(chunk); }, context_.Now());
}

void LazyLayer::ForgetReads() { reads_.Clear(); }

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

void LazyLayer::ResumeFetchingAhead() {
  MutexLock lock(mutex_);
  ahead_.Resume();
}

/// Whether all of a layer may be evicted that was fetched as a whole.
bool LazyLayer::MayGo(Evictable which) {
  if (!refetch_ || (which == Evictable::kUnread && reads_.any())) {
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
        return stored_->IsPresent(chunk)
                   ? is_whole || which == Evictable::kAll || !reads_.Has(chunk)
                   : stored_->IsDoubtful(chunk);
      },
      is_whole ? UINT64_MAX : wanted_bytes);
  if (runs.empty()) {
    return 0;
  }
  ASSIGN_OR_RETURN(const uint64_t evicted_bytes, stored_->Evict(runs, ChunkBytesOf(table_)));
  context_.Count([&](FetchCounters& counters) {
    counters.evicted_bytes.fetch_add(evicted_bytes, std::memory_order_relaxed);
  });
  return evicted_bytes;
}

void LazyLayer::Read(DataRange range, oci::FetchClass fetch_class, ReadDone done, pid_t asker) {
  const ChunkSpan chunks = table_.Find(range);
  if (fetch_class == oci::FetchClass::kDemand) {
    Note(chunks);
    context_.Count([](FetchCounters& counters) {
      counters.waiting_reads.fetch_add(1, std::memory_order_relaxed);
    });
  }
  const auto request = std::make_shared<ReadRequest>(
      range, chunks, fetch_class, ReadRequest::Wants::kBytes, std::move(done), context_.Now());
  if (request->is_read()) {
    request->asker = container_waits_ ? container_waits_->OnWaits(asker) : nullptr;
    tally_.OnWaits(request.get(), range, request->started, request->asker);
  }
  Start(request);
}

/// Answers one of Read or MakePresent; once for each.
void LazyLayer::Reply(ReadRequest& request, StatusOr<Bytes> answer) {
  if (request.is_read()) {
    const SlowRead read{.layer = key(),
                        .range = request.range,
                        .times = ReadTimes::Of(request.started, request.moments(), context_.Now()),
                        .ended = SystemClock().WallTime(),
                        .failed = !answer.ok(),
                        .container = request.asker ? request.asker->container() : ""};
    tally_.OnWaited(&request, read);
    if (container_waits_) {
      container_waits_->OnWaited(request.asker, read);
    }
    if (slow_reads_) {
      slow_reads_->Add(read);
    }
    context_.Count([&](FetchCounters& counters) {
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
  Start(std::make_shared<ReadRequest>(
      range, table_.Find(range), fetch_class, ReadRequest::Wants::kPresence,
      [done = std::move(done)](const StatusOr<Bytes>& bytes) { done(bytes.status()); },
      context_.Now()));
}

void LazyLayer::Start(const RequestPtr& request) {
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
      nothing_missing = request->HasCome();
    } else {
      nothing_missing = true;
      request->Fail(MakeError(StatusCode::kCancelled, "layer: closed"));
    }
  }
  if (nothing_missing && !context_.Post(Urgency::kAwaited, [self = shared_from_this(), request] {
        self->Answer(request);
      })) {
    Answer(request);
    return;
  }
  for (const uint32_t member : work.copies) {
    context_.Post(Urgency::kAwaited,
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
  FetchScheduler* const scheduler = context_.scheduler();
  if (scheduler == nullptr) {
    return limits_;
  }
  const std::string host = PreferredSource().host;
  const uint64_t round_trip_bytes = scheduler->RoundTripBytes(host);
  return {.neighbourhood_bytes = scheduler->NeighbourhoodBytes(host),
          .bridged_bytes = round_trip_bytes / kBridgedPart,
          .merge_gap_bytes = round_trip_bytes,
          .request_bytes = limits_.request_bytes};
}

/// Registers `request` with every absent member that it needs; returns what nobody has started yet.
LazyLayer::Work LazyLayer::Enlist(const RequestPtr& request, FetchLimits limits) {
  std::vector<uint32_t> missing;
  for (uint32_t chunk = request->chunks.first; chunk < request->chunks.last; ++chunk) {
    if (!stored_->IsPresent(chunk) && !TakeSpilled(chunk, *request)) {
      missing.push_back(table_.chunks()[chunk].member);
    }
  }
  SortUnique(missing);
  Status error_of_wrong;
  std::erase_if(missing, [&](uint32_t member) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Status error = quarantine_.ErrorOf(member, request->started);
    error_of_wrong.Update(error);
    return !error.ok();
  });
  std::vector<uint32_t> wanted;
  Work work;
  for (const uint32_t member : missing) {
    if (!in_flight_.contains(member)) {
      (copies_.Has(member) ? work.copies : wanted).push_back(member);
    } else if (auto undecoded = undecoded_.extract(member)) {
      work.decodes.push_back(std::move(undecoded.mapped()));
    }
  }
  if (!ahead_.may_read_ahead()) {
    limits.neighbourhood_bytes /= kHeldNeighbourhoodPart;
  }
  work.fetches = PlanAndMark(wanted, request->fetch_class, limits);
  if (!work.fetches.empty() && context_.scheduler() != nullptr &&
      request->fetch_class == oci::FetchClass::kDemand) {
    const uint64_t missed = table_.members()[wanted.front()].blob_offset;
    ahead_.NoteMiss(
        {.blob_offset = missed, .size_bytes = table_.members()[wanted.back()].end() - missed},
        table_.IsUnlikely(wanted.front()) ? Worth::kLittle : Worth::kMuch, limits.merge_gap_bytes);
    AwaitRead();
  }
  for (const uint32_t member : missing) {
    in_flight_[member].push_back(request);
  }
  request->Await(missing.size());
  request->Fail(error_of_wrong);
  return work;
}

/// The requests that bring `wanted`, which are on their way from now on, and their neighbours.
std::vector<Fetch> LazyLayer::PlanAndMark(std::span<const uint32_t> wanted,
                                          oci::FetchClass fetch_class, const FetchLimits& limits) {
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
  // While no place is open, nothing would be on its way, and the scheduler find room for
  // everything.
  if (stored_->complete() || table_.codec() == Codec::kWhole ||
      !downloads_.IsOpen(fetch_class, shared_from_this())) {
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

/// In the blob, as if all of it were as well compressed, and nothing unlikely had come before what
/// is not.
uint64_t LazyLayer::LeftBytes() const {
  if (stored_->complete() || table_.codec() == Codec::kWhole || content_bytes_.all == 0) {
    return 0;
  }
  const uint64_t likely_bytes = content_bytes_.all - content_bytes_.unlikely;
  const uint64_t absent_bytes = likely_bytes - std::min(likely_bytes, present_bytes());
  return static_cast<uint64_t>(static_cast<double>(table_.blob_size_bytes()) *
                               static_cast<double>(absent_bytes) /
                               static_cast<double>(content_bytes_.all));
}

void LazyLayer::OnOpened(const std::set<oci::FetchClass>& classes) {
  for (const oci::FetchClass fetch_class : classes) {
    EnlistFeed(fetch_class);
  }
  RunWhenOpen();
}

void LazyLayer::WhenOpen(std::function<void()> done) {
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return;
    }
    when_open_.push_back(std::move(done));
  }
  if (downloads_.IsOpen(oci::FetchClass::kPrefetch, shared_from_this())) {
    RunWhenOpen();
  }
}

void LazyLayer::RunWhenOpen() {
  std::vector<std::function<void()>> waiting;
  {
    MutexLock lock(mutex_);
    waiting.swap(when_open_);
  }
  for (const auto& done : waiting) {
    done();
  }
}

void LazyLayer::EnlistFeed(oci::FetchClass fetch_class) {
  const BlobSources::Source source = PreferredSource();
  context_.scheduler()->Enlist(source.host, fetch_class, shared_from_this(), source.image);
}

template <typename Choose>
void LazyLayer::Prefetch(Choose choose) {
  if (context_.scheduler() == nullptr) {
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
          {.plan = self->FetchOf(member), .fetch_class = oci::FetchClass::kPrefetch}, member,
          ByteSpan(*bytes).subspan(record.blob_offset - tail_offset, record.blob_size), {}, {});
    });
  }
}

bool LazyLayer::StartAbsent(std::span<const DataRange> ranges, oci::FetchClass fetch_class,
                            uint64_t size_bytes) {
  std::vector<uint32_t> wanted;
  std::vector<Fetch> fetches;
  {
    MutexLock lock(mutex_);
    if (closed_ || ahead_.is_stopped() || table_.codec() == Codec::kWhole) {
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
  context_.Post(Urgency::kWelcome, [self = shared_from_this()] { self->CheckCompletion(); });
}

void LazyLayer::HoldReadahead(bool is_held) {
  MutexLock lock(mutex_);
  ahead_.HoldReadahead(is_held);
}

void LazyLayer::FetchAll() {
  if (context_.scheduler() == nullptr) {
    return;
  }
  {
    MutexLock lock(mutex_);
    ahead_.FetchAll();
  }
  EnlistBackground();
}

void LazyLayer::EnlistBackground() {
  EnlistFeed(oci::FetchClass::kBackground);
  EnlistFeed(oci::FetchClass::kRest);
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
  context_.scheduler()->RunAfter(kBackgroundPause, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      {
        MutexLock lock(self->mutex_);
        self->retries_later_ = false;
      }
      self->GoOnWithBackground();
    }
  });
}

/// Everything absent is background work again, unless that was stopped meanwhile.
void LazyLayer::GoOnWithBackground() {
  {
    MutexLock lock(mutex_);
    if (closed_ || !ahead_.fetches_all()) {
      return;
    }
    ahead_.FetchAll();
  }
  EnlistBackground();
}

bool LazyLayer::IsFree(uint32_t member) const {
  return !in_flight_.contains(member) && !copies_.Has(member) && !quarantine_.Has(member) &&
         members_.IsAbsent(member);
}

bool LazyLayer::IsAwaited(uint32_t member) const {
  const auto found = in_flight_.find(member);
  return found != in_flight_.end() && !found->second.empty();
}

void LazyLayer::Quarantine(uint32_t member, const Status& error) {
  const bool is_wrong = error.code() == StatusCode::kDataLoss;
  const auto duration = is_wrong ? kQuarantine : kRefusedPause;
  {
    MutexLock lock(mutex_);
    quarantine_.Add(member, context_.Now() + duration, error);
    if (closed_ || context_.scheduler() == nullptr || std::exchange(awaits_release_, true)) {
      return;
    }
  }
  ReleaseAfter(duration);
}

/// Lets out whose time is over then, for background work, and waits for the others.
void LazyLayer::ReleaseAfter(std::chrono::steady_clock::duration delay) {
  context_.scheduler()->RunAfter(std::chrono::ceil<std::chrono::milliseconds>(delay),
                                 [weak = weak_from_this()] {
                                   const auto self = weak.lock();
                                   if (!self) {
                                     return;
                                   }
                                   const auto now = self->context_.Now();
                                   std::optional<MemberQuarantine::TimePoint> next;
                                   {
                                     MutexLock lock(self->mutex_);
                                     next = self->quarantine_.Release(now);
                                     if (self->closed_) {
                                       return;
                                     }
                                     self->awaits_release_ = next.has_value();
                                   }
                                   if (next) {
                                     self->ReleaseAfter(*next - now);
                                   }
                                   self->GoOnWithBackground();
                                 });
}

void LazyLayer::OnWrongBytes(BlobSources::Id source, uint32_t member, const Status& error) {
  const auto spoiled = sources_.OnSpoiled(source, context_.Now());
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

bool LazyLayer::TakeSpilled(uint32_t chunk, ReadRequest& request) {
  if (!has_spilled_ || request.wants != ReadRequest::Wants::kBytes) {
    return false;
  }
  const std::optional<SpilledChunk> found = spilled_->Find(this, chunk);
  if (!found) {
    return false;
  }
  request.Take(*found);
  return true;
}

/// Takes a member that is on its way from what the node has; fetches it if that is not there any
/// more and somebody waits.
void LazyLayer::CopyMember(uint32_t member, oci::FetchClass fetch_class) {
  std::shared_ptr<const SharedChunks> shared;
  {
    MutexLock lock(mutex_);
    shared = copies_.shared();
  }
  const StatusOr<uint64_t> copied =
      shared ? members_.Copy(member, *shared)
             : MakeError(StatusCode::kNotFound, "layer: nothing is shared");
  bool is_awaited = false;
  bool fetches_later = false;
  {
    MutexLock lock(mutex_);
    copies_.Remove(member);
    is_awaited = IsAwaited(member);
    if (!copied.ok() && !is_awaited && in_flight_.erase(member) > 0) {
      fetches_later = ahead_.fetches_all();
    }
  }
  if (copied.ok()) {
    context_.Count([copied_bytes = *copied](FetchCounters& counters) {
      counters.copied_bytes.fetch_add(copied_bytes, std::memory_order_relaxed);
    });
    Finish(member, {});
  } else if (is_awaited) {
    StartFetch({.plan = FetchOf(member), .fetch_class = fetch_class});
  } else if (fetches_later) {
    FetchAll();
  }
}

/// A request for one member alone.
PlannedFetch LazyLayer::FetchOf(uint32_t member) const {
  return {
      .range = table_.members()[member].range(), .first_member = member, .last_member = member + 1};
}

void LazyLayer::BeginCopies() {
  {
    MutexLock lock(mutex_);
    if (!copies_.shared() || std::exchange(is_copying_, true)) {
      return;
    }
  }
  context_.Post(Urgency::kWelcome, [self = shared_from_this()] { self->CopyNext(); });
}

/// Takes one member after the other from what the node has while there is nothing better to do.
void LazyLayer::CopyNext() {
  std::optional<uint32_t> member;
  {
    MutexLock lock(mutex_);
    if (!closed_ && ahead_.fetches_all()) {
      member = copies_.Next([this](uint32_t each) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return !in_flight_.contains(each);
      });
    }
    if (!member) {
      is_copying_ = false;
      return;
    }
    in_flight_.try_emplace(*member);
  }
  CopyMember(*member, oci::FetchClass::kBackground);
  context_.Post(Urgency::kWelcome, [self = shared_from_this()] { self->CopyNext(); });
}

void LazyLayer::StartFetch(const Fetch& asked) {
  if (const Status places = CheckFiles(); !places.ok()) {
    for (uint32_t member = asked.plan.first_member; member < asked.plan.last_member; ++member) {
      Finish(member, {.error = places});
    }
    return;
  }
  if (table_.codec() == Codec::kWhole) {
    FetchAgainWhole(asked);
    return;
  }
  const MemberRecord& first = table_.members()[asked.plan.first_member];
  if (first.blob_size > kMaxMemberBytes) {
    Finish(asked.plan.first_member,
           {.error = MakeError(StatusCode::kResourceExhausted,
                               fmt::format("a member of {} bytes, more than the {} that are taken "
                                           "into memory",
                                           first.blob_size, kMaxMemberBytes))});
    return;
  }
  downloads_.Start(asked, shared_from_this());
}

void LazyLayer::FetchAgainWhole(const Fetch& asked) {
  const uint32_t member = asked.plan.first_member;
  if (!refetch_) {
    Finish(member, {.error = MakeError(StatusCode::kFailedPrecondition,
                                       "layer: it was fetched as a whole and has lost a part: "
                                       "remove its image and pull it again")});
    return;
  }
  Fetch fetch = asked;
  fetch.begun = asked.begun.value_or(context_.Now());
  const auto spills = std::make_shared<Spills>();
  refetch_([self = shared_from_this(), member, spills](
               uint32_t chunk, ByteSpan bytes) { self->OnSpilled(member, chunk, bytes, *spills); },
           [self = shared_from_this(), fetch, spills](const Status& status) {
             self->context_.Post(Urgency::kAwaited, [self, fetch, spills, status] {
               self->OnRefetched(fetch, *spills, status);
             });
           });
}

void LazyLayer::Trace(TracedFetch fetch) const {
  if (fetches_) {
    fetch.layer = key();
    fetches_->Add(fetch);
  }
}

void LazyLayer::OnMember(Downloads::Arrival arrival) {
  const uint32_t member = arrival.member;
  PostDecode(member, [self = shared_from_this(), arrival = std::move(arrival)] {
    self->DecodeMember(*arrival.fetch, arrival.member, *arrival.compressed, arrival.source,
                       {.sent = arrival.sent, .came = arrival.came, .stored = {}});
  });
}

/// Members that somebody waits for come first: by now, or once somebody does.
void LazyLayer::PostDecode(uint32_t member, std::function<void()> decode) {
  auto undecoded =
      std::make_shared<Undecoded>(Undecoded{.member = member, .decode = std::move(decode)});
  bool is_awaited = false;
  {
    MutexLock lock(mutex_);
    is_awaited = IsAwaited(member);
    if (!is_awaited && in_flight_.contains(member)) {
      undecoded_[member] = undecoded;
    }
  }
  PostDecodeNow(std::move(undecoded), is_awaited ? Urgency::kAwaited : Urgency::kWelcome);
}

/// May be posted twice: the first to run decodes.
void LazyLayer::PostDecodeNow(std::shared_ptr<Undecoded> undecoded, Urgency urgency) {
  context_.Post(urgency, [self = shared_from_this(), undecoded = std::move(undecoded)] {
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
  if (is_awaited &&
      (spills.chunks.empty() || spills.size_bytes + bytes.size() <= SpilledChunks::kMaxBytes)) {
    spills.size_bytes += bytes.size();
    spills.chunks.push_back(
        {.chunk = chunk, .bytes = std::make_shared<Bytes>(bytes.begin(), bytes.end())});
  }
}

/// All of the layer was fetched again. What the disk does not give however often it is written is
/// not worth the next time.
void LazyLayer::OnRefetched(const Fetch& fetch, Spills& spills, const Status& status) {
  if (!status.ok()) {
    OnFailed(fetch, status);
    return;
  }
  const uint32_t member = fetch.plan.first_member;
  MemberOutcome outcome;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (members_.IsAvoided(chunk)) {
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

void LazyLayer::OnFailed(const Fetch& fetch, const Status& error) {
  const PlannedFetch& plan = fetch.plan;
  RetryLater();  // first, so that the feed does not take what is free again now
  if (IsTransportError(error.code())) {
    if (const auto rest = FailThoseInTime(fetch, error)) {
      StartFetch(*rest);
    }
    return;
  }
  if (plan.last_member - plan.first_member == 1) {
    Quarantine(plan.first_member, error);
    Finish(plan.first_member, {.error = error, .moments = MomentsOfFailure(fetch)});
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
  const BlobSources::TimePoint now = context_.Now();
  return {.sent = fetch.begun.value_or(now), .came = now, .stored = now};
}

/// Fails those who have waited since the fetch began, and all of them when no more time can help.
/// The fetch that the others need, if there are any: it takes the place of this one.
std::optional<Fetch> LazyLayer::FailThoseInTime(const Fetch& fetch, const Status& error) {
  const PlannedFetch& plan = fetch.plan;
  const auto is_late = [begun = fetch.begun.value_or(context_.Now()),
                        can_help = IsOutage(error.code())](const auto& request) {
    return can_help && request->started - begun > Downloads::kLateAfter;
  };
  std::optional<Fetch> rest;
  std::vector<RequestPtr> failed;
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
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      const auto found = in_flight_.find(member);
      if (found == in_flight_.end()) {
        continue;
      }
      const auto first_failed =
          std::stable_partition(found->second.begin(), found->second.end(), is_late);
      failed.insert(failed.end(), first_failed, found->second.end());
      found->second.erase(first_failed, found->second.end());
      if (!rest) {
        in_flight_.erase(found);
      }
    }
  }
  for (const RequestPtr& request : failed) {
    Settle(request, {.error = error, .moments = MomentsOfFailure(fetch)});
  }
  if (!rest) {
    CheckCompletion();
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

void LazyLayer::DecodeMember(const Fetch& fetch, uint32_t member, ByteSpan compressed,
                             std::optional<BlobSources::Id> source, ReadTimes::Moments moments) {
  const auto begun = context_.Now();
  MemberOutcome outcome = members_.Put(member, compressed);
  moments.stored = context_.Now();
  outcome.moments = moments;
  // Only what came along with the blob's index has no source.
  NoteArrival(member, source ? PurposeOf(fetch.fetch_class) : Purpose::kIndex);
  const Status wrong = outcome.FirstDataLoss();
  context_.Count([&, taken = moments.stored - begun](FetchCounters& counters) {
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

void LazyLayer::Finish(uint32_t member, const MemberOutcome& outcome) {
  std::vector<RequestPtr> waiting;
  {
    MutexLock lock(mutex_);
    const auto found = in_flight_.find(member);
    if (found == in_flight_.end()) {
      return;  // closed meanwhile
    }
    waiting = std::move(found->second);
    in_flight_.erase(found);
    for (const SpilledChunk& spilled : outcome.spilled) {
      spilled_->Add(this, spilled);
    }
    if (!outcome.spilled.empty()) {
      has_spilled_ = true;
      // The disk is full: what nobody asks for would find no room.
      ahead_.Clear();
    } else if (has_spilled_) {
      has_spilled_ =
          spilled_->Drop(this, [this](uint32_t chunk) { return stored_->IsPresent(chunk); }) > 0;
    }
  }
  for (const RequestPtr& request : waiting) {
    Settle(request, outcome);
  }
  CheckCompletion();
}

void LazyLayer::Settle(const RequestPtr& request, const MemberOutcome& outcome) {
  if (request->Settle(outcome)) {
    Answer(request);
  }
}

void LazyLayer::Answer(const RequestPtr& request) {
  const auto [error, spilled] = request->TakeResult();
  if (error.ok() && table_.codec() == Codec::kWhole && !members_.HasAll(request->chunks, spilled)) {
    Start(request);  // lost, or read, while the layer was fetched again
    return;
  }
  if (!error.ok() || request->wants == ReadRequest::Wants::kPresence) {
    Reply(*request, error.ok() ? StatusOr<Bytes>(Bytes()) : error);
    return;
  }
  Bytes out(request->range.size_bytes);
  const StatusOr<bool> is_there = members_.Read(request->range, request->chunks, spilled, out);
  if (!is_there.ok()) {
    Reply(*request, is_there.status());
    return;
  }
  if (!*is_there) {
    Start(request);  // something was evicted or lost before it could be read
    return;
  }
  const Status places = CheckFiles();
  Reply(*request, places.ok() ? StatusOr<Bytes>(std::move(out)) : places);
}

void LazyLayer::Close() {
  std::unordered_map<uint32_t, std::vector<RequestPtr>> in_flight;
  std::unordered_map<uint32_t, std::shared_ptr<Undecoded>> undecoded;
  // May own what waits for this layer; go after the lock.
  std::function<void()> on_complete;
  std::vector<std::function<void()>> when_open;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    in_flight.swap(in_flight_);
    undecoded.swap(undecoded_);
    copies_.LetGo();
    has_spilled_ = false;
    spilled_->Drop(this, [](uint32_t) { return true; });
    on_complete.swap(on_complete_);
    when_open.swap(when_open_);
  }
  context_.Close();
  downloads_.Close();
  sources_.Close();
  const MemberOutcome outcome{.error = MakeError(StatusCode::kCancelled, "layer: closed")};
  for (const auto& [member, waiting] : in_flight) {
    for (const RequestPtr& request : waiting) {
      Settle(request, outcome);
    }
  }
  context_.EndCounting();
}

}  // namespace starling::layer
