#include "layer/downloads.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <stop_token>
#include <utility>

#include "base/clock.h"
#include "layer/counters.h"
#include "layer/fetch_scheduler.h"
#include "layer/member_decoder.h"

namespace starling::layer {
namespace {

using Urgency = LayerContext::Urgency;

/// Reserved at once for the bytes of a member; a larger one grows.
constexpr uint64_t kReservedBytes = 8 << 20;
/// A member that decodes to more is so rare that its memory is counted; one of less on each of the
/// executor's threads is not.
constexpr uint64_t kCountedDecodedBytes = 16 << 20;
/// What one source may do about an error of its own while another one could be asked.
constexpr int kRetriesBeforeTheNext = 1;

}  // namespace

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

bool IsOutage(StatusCode code) {
  return IsTransportError(code) && code != StatusCode::kCancelled && code != StatusCode::kNotFound;
}

/// One request for what a fetch wants.
struct Downloads::Attempt {
  BlobSources::Source source;
  BlobSources::TimePoint sent;
  std::shared_ptr<FetchScheduler::Flight> flight;  // null without a scheduler
  std::stop_source stop;
  uint64_t came_bytes = 0;  // its parts come one at a time, and before its end
};

/// One fetch while its bytes come.
struct Downloads::Download {
  Download(Fetch fetch_in, std::shared_ptr<BufferBudget::Room> room_in, ClientPtr client_in)
      : fetch(std::move(fetch_in)),
        room(std::move(room_in)),
        client(std::move(client_in)),
        member(fetch.plan.first_member) {}

  bool is_awaited() const { return fetch.fetch_class == oci::FetchClass::kDemand; }
  /// True for the attempt that was the first to bring bytes; ends the others then.
  bool Wins(const AttemptPtr& attempt);
  /// Those that are under way without a byte, in order; empty once there is a winner.
  std::vector<AttemptPtr> Running();
  /// Adds one to them, unless there is a winner by now.
  bool Add(const AttemptPtr& attempt);

  const Fetch fetch;
  const std::shared_ptr<BufferBudget::Room> room;  // null for what needs none
  const ClientPtr client;
  bool was_repeated = false;  // to the same source; by Hedge, one at a time
  // Only the winner's parts, which come one at a time, touch these.
  uint32_t member = 0;  // whose bytes come next
  Bytes bytes;          // that came of it

  Mutex mutex;                                        // leaf
  std::vector<AttemptPtr> running GUARDED_BY(mutex);  // until there is a winner
  AttemptPtr winner GUARDED_BY(mutex);
  std::vector<BlobSources::Id> lost_sources GUARDED_BY(mutex);  // that failed without a byte
};

bool Downloads::Download::Wins(const AttemptPtr& attempt) {
  std::vector<AttemptPtr> losers;
  {
    MutexLock lock(mutex);
    if (winner) {
      return winner == attempt;
    }
    winner = attempt;
    losers.swap(running);
  }
  std::erase(losers, attempt);
  for (const AttemptPtr& loser : losers) {
    loser->stop.request_stop();
  }
  return true;
}

std::vector<Downloads::AttemptPtr> Downloads::Download::Running() {
  MutexLock lock(mutex);
  return winner ? std::vector<AttemptPtr>() : running;
}

bool Downloads::Download::Add(const AttemptPtr& attempt) {
  MutexLock lock(mutex);
  if (winner || running.empty()) {
    return false;
  }
  running.push_back(attempt);
  return true;
}

void Downloads::Start(Fetch fetch, const ClientPtr& client) {
  fetch.begun = fetch.begun.value_or(context_.Now());
  const std::optional<BlobSources::Source> source = sources_.Opened(fetch.sources, context_.Now());
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return;
    }
    if (!source) {
      waiting_for_source_.push_back(fetch);
      if (std::exchange(opening_, true)) {
        return;
      }
    }
  }
  if (source) {
    SendOnceThereIsRoom(*source, fetch, client);
  } else {
    context_.Post(Urgency::kAwaited, [this, client] { OpenSources(client); });
  }
}

bool Downloads::IsOpen(oci::FetchClass fetch_class, const ClientPtr& client) {
  if (sources_.Opened({}, context_.Now())) {
    return true;
  }
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return false;
    }
    classes_waiting_for_source_.insert(fetch_class);
    if (std::exchange(opening_, true)) {
      return false;
    }
  }
  context_.Post(Urgency::kAwaited, [this, client] { OpenSources(client); });
  return false;
}

/// Serves what waits for a source. One call runs at a time, so each source is opened once.
void Downloads::OpenSources(const ClientPtr& client) {
  for (;;) {
    std::vector<Fetch> fetches;
    std::set<oci::FetchClass> classes;
    {
      MutexLock lock(mutex_);
      fetches.swap(waiting_for_source_);
      classes.swap(classes_waiting_for_source_);
      if (fetches.empty() && classes.empty()) {
        opening_ = false;
        return;
      }
    }
    for (Fetch& fetch : fetches) {
      const auto source = sources_.OpenBest(fetch.sources, context_.Now());
      if (source.ok()) {
        SendOnceThereIsRoom(*source, fetch, client);
      } else {
        client->OnFailed(fetch, source.status());
      }
    }
    if (!classes.empty()) {
      TellOnceOpen(classes, client);
    }
  }
}

void Downloads::TellOnceOpen(const std::set<oci::FetchClass>& classes, const ClientPtr& client) {
  BlobSources::Experience none;
  if (sources_.OpenBest(none, context_.Now()).ok()) {
    client->OnOpened(classes);
  } else {
    client->OnNothingOpened();
  }
}

/// What nobody let in takes its memory from the budget first.
void Downloads::SendOnceThereIsRoom(const BlobSources::Source& source, const Fetch& fetch,
                                    const ClientPtr& client) {
  FetchScheduler* const scheduler = context_.scheduler();
  if (scheduler == nullptr || fetch.has_room) {
    Send(source, fetch, nullptr, client);
    return;
  }
  const uint64_t size_bytes = fetch.plan.range.size_bytes + DecodedBytesOf(fetch.plan);
  auto room = scheduler->demand_budget().Take(
      {.host = source.host, .layer = this, .size_bytes = size_bytes, .since = *fetch.begun},
      [this, weak = std::weak_ptr<Client>(client), source,
       fetch](const StatusOr<std::shared_ptr<BufferBudget::Room>>& later) {
        const ClientPtr self = weak.lock();  // and with it this
        if (!self) {
          return;
        }
        if (!later.ok()) {
          GoOnOrFail(fetch, source.id, later.status(), self);
          return;
        }
        context_.Post(Urgency::kAwaited, [this, self, source, fetch, room = *later] {
          Send(source, fetch, room, self);
        });
      });
  if (room) {
    Send(source, fetch, std::move(room), client);
  }
}

/// The memory that its largest member takes when it is decoded, if that is worth counting.
uint64_t Downloads::DecodedBytesOf(const PlannedFetch& plan) const {
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

void Downloads::Send(const BlobSources::Source& source, const Fetch& fetch,
                     std::shared_ptr<BufferBudget::Room> room, const ClientPtr& client) {
  const auto download = std::make_shared<Download>(fetch, std::move(room), client);
  const auto attempt = std::make_shared<Attempt>(
      Attempt{.source = source, .sent = context_.Now(), .flight = {}, .stop = {}});
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

void Downloads::SendAttempt(const DownloadPtr& download, const AttemptPtr& attempt,
                            const oci::ReadOptions& options) {
  const Fetch& fetch = download->fetch;
  const Purpose purpose = PurposeOf(fetch.fetch_class);
  if (!context_.Count([&](FetchCounters& counters) { counters.CountRequest(purpose); })) {
    return;
  }
  tally_.OnRequest(purpose);
  if (FetchScheduler* const scheduler = context_.scheduler()) {
    attempt->flight =
        scheduler->Begin(attempt->source.host, fetch.fetch_class, fetch.plan.range.size_bytes,
                         attempt->source.image, DecodedBytesOf(fetch.plan));
  }
  oci::ReadOptions with_stop = options;
  with_stop.stop = attempt->stop.get_token();
  // The callbacks own client and reader, so both outlive them.
  attempt->source.reader->Stream(
      fetch.plan.range, with_stop,
      [this, download, attempt](ByteSpan part) { OnPart(download, attempt, part); },
      [this, download, attempt](const Status& status) { OnEnded(download, attempt, status); });
}

/// A refetch is not hedged: the other source is where it came from.
void Downloads::HedgeIfLate(const DownloadPtr& download, const std::string& host) {
  FetchScheduler* const scheduler = context_.scheduler();
  if (scheduler != nullptr && !download->fetch.is_refetch) {
    HedgeAfter(download->is_awaited() ? scheduler->LateAfter(host) : kHedgeAgain, download);
  }
}

void Downloads::HedgeAfter(std::chrono::milliseconds delay, const DownloadPtr& download) {
  context_.scheduler()->RunAfter(delay, [this, weak = std::weak_ptr<Download>(download)] {
    if (const DownloadPtr late = weak.lock()) {  // and with it this
      context_.Post(Urgency::kAwaited, [this, late] { Hedge(late); });
    }
  });
}

/// Sends what is late a second time: to another source that is well, or else to the same one; what
/// nobody waited for at first only when its host is away, since somebody may by now. As long as it
/// waits, others may get well, or be named.
void Downloads::Hedge(const DownloadPtr& download) {
  const std::vector<AttemptPtr> running = download->Running();
  if (running.empty()) {
    return;
  }
  const auto is_paused = [](const AttemptPtr& attempt) {
    return attempt->source.reader->IsPaused();
  };
  const bool all_wait = std::ranges::all_of(running, is_paused);
  BlobSources::Experience elsewhere = download->fetch.sources;
  for (const AttemptPtr& attempt : running) {
    elsewhere.failed.push_back(attempt->source.id);
  }
  std::optional<BlobSources::Source> to;
  oci::ReadOptions options{
      .fetch_class = download->fetch.fetch_class, .max_retries = 0, .own_connection = true};
  if (all_wait || (download->is_awaited() && running.size() == 1)) {
    if (sources_.HasHealthyOther(elsewhere, context_.Now())) {
      if (auto other = sources_.OpenBest(elsewhere, context_.Now()); other.ok()) {
        to = *std::move(other);
        options.own_connection = false;
      }
    }
    if (!to && download->is_awaited() && !download->was_repeated) {
      to = running.front()->source;
    }
  }
  // Another place costs nobody anything while the first one is away.
  const bool is_free = to && to->id != running.front()->source.id && all_wait;
  if (to && !to->reader->IsPaused() &&
      (is_free || context_.scheduler()->TakeHedge(running.front()->source.host))) {
    const auto next = std::make_shared<Attempt>(
        Attempt{.source = *to, .sent = context_.Now(), .flight = {}, .stop = {}});
    if (download->Add(next)) {
      if (to->id == running.front()->source.id) {
        download->was_repeated = true;
      }
      context_.Count([](FetchCounters& counters) {
        counters.second_requests.fetch_add(1, std::memory_order_relaxed);
      });
      SendAttempt(download, next, options);
    }
  }
  HedgeAfter(kHedgeAgain, download);
}

/// Cuts what comes into members and hands on each that is whole.
void Downloads::OnPart(const DownloadPtr& download, const AttemptPtr& attempt, ByteSpan part) {
  const Purpose purpose = PurposeOf(download->fetch.fetch_class);
  if (!context_.Count(
          [&](FetchCounters& counters) { counters.CountBytes(purpose, part.size()); })) {
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
  const Fetch& fetch = download->fetch;
  while (!part.empty() && download->member < fetch.plan.last_member) {
    const uint64_t member_bytes = table_.members()[download->member].blob_size;
    Bytes& bytes = download->bytes;
    bytes.reserve(std::min(member_bytes, kReservedBytes));
    const ByteSpan taken = part.first(std::min<uint64_t>(part.size(), member_bytes - bytes.size()));
    bytes.insert(bytes.end(), taken.begin(), taken.end());
    part = part.subspan(taken.size());
    if (bytes.size() == member_bytes) {
      // Owns the download, and with it the winner: their room and their place in the link's window
      // end when the member has been decoded.
      download->client->OnMember(
          {.member = download->member++,
           .compressed = std::make_shared<const Bytes>(std::exchange(bytes, {})),
           .fetch = std::shared_ptr<const Fetch>(download, &fetch),
           .source = attempt->source.id,
           .sent = fetch.sources.failed.empty() ? attempt->sent : *fetch.begun,
           .came = context_.Now()});
    }
  }
}

void Downloads::OnEnded(const DownloadPtr& download, const AttemptPtr& attempt, Status status) {
  Fetch failed = download->fetch;
  const Purpose purpose = PurposeOf(failed.fetch_class);
  context_.Count([&, taken = context_.Now() - attempt->sent](FetchCounters& counters) {
    counters.Of(purpose).durations.Observe(taken);
  });
  download->client->OnRequestEnded(Traced(failed, *attempt, status));
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
    sources_.OnFailed(attempt->source.id, context_.Now());
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
  const bool goes_on = GoOnOrFail(failed, attempt->source.id, status, download->client);
  FetchScheduler* const scheduler = context_.scheduler();
  if (!goes_on && scheduler != nullptr && IsOutage(status.code())) {
    // Before its room is another's. The first two are a host's: it has been waited for.
    const bool is_of_host =
        status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kDeadlineExceeded;
    scheduler->demand_budget().GiveUp(attempt->source.host, is_of_host ? nullptr : this,
                                      *failed.begun + kLateAfter, status);
  }
}

TracedFetch Downloads::Traced(const Fetch& fetch, const Attempt& attempt,
                              const Status& status) const {
  const std::span<const uint32_t> first = table_.ChunksOf(fetch.plan.first_member);
  const std::span<const uint32_t> last = table_.ChunksOf(fetch.plan.last_member - 1);
  DataRange range;
  if (!first.empty() && !last.empty()) {
    const uint64_t begin = table_.chunks()[first.front()].data_address;
    const uint64_t end = table_.chunks()[last.back()].range().end();
    range = {.data_address = begin, .size_bytes = std::max(end, begin + 1) - begin};
  }
  const auto ended = SystemClock().WallTime();
  return {.layer = {},
          .purpose = PurposeOf(fetch.fetch_class),
          .range = range,
          .bytes = attempt.came_bytes,
          .sent = ended - (context_.Now() - attempt.sent),
          .ended = ended,
          .failed = !status.ok()};
}

/// True when it goes on.
bool Downloads::GoOnOrFail(Fetch fetch, BlobSources::Id source, const Status& error,
                           const ClientPtr& client) {
  const bool goes_on = GoesOnElsewhere(fetch, source, error);
  if (goes_on) {
    context_.Count([](FetchCounters& counters) {
      counters.moved_fetches.fetch_add(1, std::memory_order_relaxed);
    });
  }
  context_.Post(Urgency::kAwaited, [client, fetch = std::move(fetch), error, goes_on] {
    if (goes_on) {
      client->OnMoves(fetch);
    } else {
      client->OnFailed(fetch, error);
    }
  });
  return goes_on;
}

/// Notes that `fetch` failed at `source`. True when another source may do better.
bool Downloads::GoesOnElsewhere(Fetch& fetch, BlobSources::Id source, const Status& error) {
  if (error.code() == StatusCode::kCancelled) {
    return false;
  }
  sources_.OnFailed(source, context_.Now());
  const bool is_first = fetch.sources.failed.empty();
  fetch.sources.failed.push_back(source);
  // With the deadline the time of those who wait is over, too. What says something about the bytes
  // deserves one second opinion.
  return error.code() != StatusCode::kDeadlineExceeded &&
         (is_first || IsTransportError(error.code())) && sources_.HasOther(fetch.sources);
}

void Downloads::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    waiting_for_source_.clear();
  }
  if (FetchScheduler* const scheduler = context_.scheduler()) {
    scheduler->demand_budget().Forget(this);
  }
}

}  // namespace starling::layer
