#include "layer/fetch_scheduler.h"

#include <algorithm>
#include <utility>

namespace starling::layer {
namespace {

using oci::FetchClass;
using std::chrono::milliseconds;

/// A request is not smaller, because each has its own cost for server and client, nor larger,
/// because it must be finished before others get their turn.
constexpr uint64_t kMinRequestBytes = 256 << 10;
constexpr uint64_t kMaxRequestBytes = 4 << 20;
/// On a link with a short round trip a request that nobody waits for must still carry enough work
/// for the decoders.
constexpr milliseconds kMinRequestTime(10);

/// What of a round trip's bytes a miss brings along however busy the link is: fewer would be asked
/// for one by one.
constexpr uint64_t kLeastNeighbourhood = 8;

/// More images than run at once: those that keep their cap by now are forgotten.
constexpr size_t kManyImages = 256;

size_t IndexOf(FetchClass fetch_class) { return static_cast<size_t>(fetch_class); }

/// Who reads now will soon read more.
bool IsOfReader(FetchClass fetch_class) {
  return fetch_class == FetchClass::kDemand || fetch_class == FetchClass::kReadahead;
}

bool IsOfBackground(FetchClass fetch_class) { return fetch_class >= FetchClass::kBackground; }

/// What the link moves in `time`, as far as it fits a request.
uint64_t RequestBytesIn(const LinkEstimate& link, LinkEstimate::Duration time) {
  return std::clamp(link.BytesIn(time), kMinRequestBytes, kMaxRequestBytes);
}

/// Of the classes from read-ahead to `fetch_class`.
template <typename Bytes>
uint64_t SumUpTo(FetchClass fetch_class, const Bytes& bytes_of_classes) {
  uint64_t bytes = 0;
  for (size_t i = IndexOf(FetchClass::kReadahead); i <= IndexOf(fetch_class); ++i) {
    bytes += bytes_of_classes[i];
  }
  return bytes;
}

constexpr FetchClass kWaitingClasses[] = {FetchClass::kReadahead, FetchClass::kPrefetch,
                                          FetchClass::kBackground, FetchClass::kRest};

}  // namespace

FetchScheduler::Flight::Flight(std::shared_ptr<FetchScheduler> scheduler, std::string host,
                               FetchClass fetch_class, uint64_t size_bytes, uint64_t decoded_bytes,
                               LinkEstimate::Flight link)
    : scheduler_(std::move(scheduler)),
      host_(std::move(host)),
      fetch_class_(fetch_class),
      size_bytes_(size_bytes),
      decoded_bytes_(decoded_bytes),
      to_come_bytes_(size_bytes),
      link_(link) {}

FetchScheduler::Flight::~Flight() { scheduler_->End(*this); }

void FetchScheduler::Flight::OnBytes(uint64_t bytes) { scheduler_->OnBytes(*this, bytes); }

void FetchScheduler::Allowance::Spend(uint64_t bytes, TimePoint now) {
  if (bytes_per_second == 0) {
    return;
  }
  paid_until =
      std::max(paid_until, now) + std::chrono::microseconds(bytes * 1'000'000 / bytes_per_second);
}

std::shared_ptr<FetchScheduler> FetchScheduler::Make(const Options& options,
                                                     const Dependencies& dependencies) {
  std::shared_ptr<FetchScheduler> scheduler(new FetchScheduler(options, dependencies));
  MutexLock lock(scheduler->mutex_);
  scheduler->all_.bytes_per_second = options.max_bytes_per_second;
  scheduler->background_.bytes_per_second = options.max_background_bytes_per_second;
  return scheduler;
}

std::shared_ptr<FetchScheduler::Flight> FetchScheduler::Begin(const std::string& host,
                                                              FetchClass fetch_class,
                                                              uint64_t size_bytes,
                                                              const std::string& image,
                                                              uint64_t decoded_bytes) {
  MutexLock lock(mutex_);
  const TimePoint now = dependencies_.clock.Now();
  Host& state = hosts_[host];
  state.bytes_in_flight[IndexOf(fetch_class)] += size_bytes;
  ++state.requests_in_flight[IndexOf(fetch_class)];
  state.bytes_to_come[IndexOf(fetch_class)] += size_bytes;
  if (fetch_class != FetchClass::kDemand) {
    buffered_bytes_ += size_bytes + decoded_bytes;
  } else {
    state.hedge_credit = std::min(state.hedge_credit + 1, kMaxHedgeCredit);
  }
  state.NoteWork(fetch_class, now);
  if (IsOfBackground(fetch_class)) {
    background_.Spend(size_bytes, now);
  }
  all_.Spend(size_bytes, now);
  SpendOfImage(image, size_bytes, now);
  return std::make_shared<Flight>(shared_from_this(), host, fetch_class, size_bytes, decoded_bytes,
                                  state.link.Begin(now));
}

void FetchScheduler::OnBytes(Flight& flight, uint64_t bytes) {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  Host& host = hosts_[flight.host_];
  host.link.OnBytes(flight.link_, bytes, dependencies_.clock.Now());
  const auto has_room = [&](FetchClass fetch_class) { return !IsLinkFull(host, fetch_class); };
  const auto classes_with_room = [&] { return std::ranges::count_if(kWaitingClasses, has_room); };
  const auto before = classes_with_room();
  const uint64_t came_bytes = std::min(bytes, flight.to_come_bytes_);
  flight.to_come_bytes_ -= came_bytes;
  host.bytes_to_come[IndexOf(flight.fetch_class_)] -= came_bytes;
  // Not only when it ends: requests that began together end together, and then the link would have
  // nothing to do for the round trip of the next ones.
  if (classes_with_room() > before) {
    RequestPump(flight.host_);
  }
}

void FetchScheduler::End(const Flight& flight) {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  Host& state = hosts_[flight.host_];
  state.bytes_in_flight[IndexOf(flight.fetch_class_)] -= flight.size_bytes_;
  --state.requests_in_flight[IndexOf(flight.fetch_class_)];
  state.bytes_to_come[IndexOf(flight.fetch_class_)] -= flight.to_come_bytes_;
  if (flight.fetch_class_ != FetchClass::kDemand) {
    buffered_bytes_ -= flight.size_bytes_ + flight.decoded_bytes_;
  }
  state.NoteWork(flight.fetch_class_, dependencies_.clock.Now());
  RequestPump(flight.host_);
}

void FetchScheduler::Host::NoteWork(FetchClass fetch_class, TimePoint now) {
  if (IsOfReader(fetch_class)) {
    last_read = now;
  }
  if (fetch_class != FetchClass::kRest) {
    last_work = now;
  }
}

void FetchScheduler::Enlist(const std::string& host, FetchClass fetch_class,
                            const std::shared_ptr<Feed>& feed, const std::string& image) {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  auto& feeds = hosts_[host].feeds[IndexOf(fetch_class)];
  const bool known = std::ranges::any_of(feeds, [&feed](const WaitingFeed& other) {
    return !other.feed.owner_before(feed) && !feed.owner_before(other.feed);
  });
  if (!known) {
    feeds.push_back({.feed = feed, .image = image});
  }
  RequestPump(host);
}

void FetchScheduler::NoteStart() {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  const TimePoint now = dependencies_.clock.Now();
  last_start_ = now;
  const TimePoint until = starts_since_ + options_.starts_quiet;
  if (background_from_ == until && now < until + options_.starts_quiet) {
    return;  // background work has its turn
  }
  if (now >= background_from_) {
    starts_since_ = now;
  }
  background_from_ = std::min(now + options_.start_quiet, starts_since_ + options_.starts_quiet);
}

std::chrono::steady_clock::time_point FetchScheduler::Now() {
  MutexLock lock(mutex_);
  return closed_ ? TimePoint() : dependencies_.clock.Now();
}

void FetchScheduler::RunAfter(milliseconds delay, std::function<void()> task) {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  dependencies_.timer.RunAfter(delay, [weak = weak_from_this(), task = std::move(task)] {
    const auto self = weak.lock();
    if (!self) {
      return;
    }
    {
      MutexLock self_lock(self->mutex_);
      if (self->closed_) {
        return;
      }
    }
    task();
  });
}

/// What keeps the link busy until the answer to the next request comes, and a quarter more for the
/// time that passes here. More would only wait in front of a demand's answer.
uint64_t FetchScheduler::WindowOf(const Host& host) const { return RequestBytesOf(host) * 5 / 4; }

/// One reader waits for no more than a round trip's bytes at a time, and computes in between. What
/// several wait for at once fills the link by itself.
bool FetchScheduler::IsLinkFull(const Host& host, FetchClass fetch_class) const {
  const uint64_t demand_bytes = host.bytes_to_come[IndexOf(FetchClass::kDemand)];
  const uint64_t beyond_one = demand_bytes - std::min(demand_bytes, RequestBytesOf(host));
  return beyond_one + SumUpTo(fetch_class, host.bytes_to_come) >= WindowOf(host);
}

uint64_t FetchScheduler::RequestBytesOf(const Host& host) const {
  return RequestBytesIn(host.link,
                        std::max<LinkEstimate::Duration>(host.link.round_trip(), kMinRequestTime));
}

uint64_t FetchScheduler::RoundTripBytes(const std::string& host) {
  MutexLock lock(mutex_);
  const LinkEstimate& link = hosts_[host].link;
  return RequestBytesIn(link, link.round_trip());
}

uint64_t FetchScheduler::NeighbourhoodBytes(const std::string& host) {
  MutexLock lock(mutex_);
  const Host& state = hosts_[host];
  const uint64_t unit = RequestBytesIn(state.link, state.link.round_trip());
  const uint64_t demand_bytes = state.bytes_to_come[IndexOf(FetchClass::kDemand)];
  return std::clamp(unit - std::min(unit, demand_bytes), unit / kLeastNeighbourhood, unit / 2);
}

std::optional<MeasuredLink> FetchScheduler::LinkTo(const std::string& host) {
  MutexLock lock(mutex_);
  return hosts_[host].link.measured();
}

milliseconds FetchScheduler::LateAfter(const std::string& host) {
  MutexLock lock(mutex_);
  return std::chrono::ceil<milliseconds>(hosts_[host].link.late());
}

FetchScheduler::InFlight FetchScheduler::InFlightOf(Purpose purpose) {
  InFlight sum;
  MutexLock lock(mutex_);
  for (const auto& [name, host] : hosts_) {
    for (size_t i = 0; i < kClasses; ++i) {
      if (PurposeOf(static_cast<FetchClass>(i)) == purpose) {
        sum.requests += host.requests_in_flight[i];
        sum.bytes += host.bytes_in_flight[i];
      }
    }
  }
  return sum;
}

bool FetchScheduler::TakeHedge(const std::string& host) {
  MutexLock lock(mutex_);
  Host& state = hosts_[host];
  if (closed_ || state.hedge_credit < kHedgeCost) {
    return false;
  }
  state.hedge_credit -= kHedgeCost;
  return true;
}

void FetchScheduler::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  hosts_.clear();
}

void FetchScheduler::RequestPump(const std::string& host) {
  if (closed_) {
    return;
  }
  Host& state = hosts_[host];
  if (std::ranges::all_of(state.feeds, [](const auto& feeds) { return feeds.empty(); })) {
    return;
  }
  if (state.is_pumping) {
    state.pump_again = true;
    return;
  }
  state.is_pumping = true;
  // Behind the decoding that is enlisted already: when the processor is the limit, the link waits.
  dependencies_.executor.Post([weak = weak_from_this(), host] {
    if (const auto self = weak.lock()) {
      self->Pump(host);
    }
  });
}

/// Begins what there is room for.
void FetchScheduler::Pump(const std::string& host) {
  for (;;) {
    Turn turn;
    {
      MutexLock lock(mutex_);
      if (closed_) {
        return;
      }
      Host& state = hosts_[host];
      turn = NextTurn(host, state);
      if (!turn.feed && !std::exchange(state.pump_again, false)) {
        state.is_pumping = false;
        return;
      }
    }
    if (!turn.feed || !turn.feed->StartNext(turn.fetch_class, turn.size_bytes)) {
      continue;
    }
    MutexLock lock(mutex_);
    if (!closed_) {
      hosts_[host].feeds[IndexOf(turn.fetch_class)].push_back(
          {.feed = turn.feed, .image = turn.image});
    }
  }
}

/// Takes the next feed out of its queue; none when nothing waits or nothing may begin now.
FetchScheduler::Turn FetchScheduler::NextTurn(const std::string& name, Host& host) {
  std::optional<TimePoint> wake_at;
  Turn turn = FindTurn(host, dependencies_.clock.Now(), wake_at);
  if (!turn.feed && wake_at) {
    WakeAt(name, host, *wake_at);
  }
  return turn;
}

FetchScheduler::Turn FetchScheduler::FindTurn(Host& host, TimePoint now,
                                              std::optional<TimePoint>& wake_at) {
  const auto wake_no_later_than = [&wake_at](TimePoint when) {
    wake_at = std::min(wake_at.value_or(when), when);
  };
  Turn turn;
  for (const FetchClass fetch_class : kWaitingClasses) {
    auto& feeds = host.feeds[IndexOf(fetch_class)];
    std::erase_if(feeds, [](const WaitingFeed& waiting) { return waiting.feed.expired(); });
    if (feeds.empty()) {
      continue;
    }
    std::optional<TimePoint> start = StartTime(host, fetch_class, /*finishes=*/false);
    const bool finishes = fetch_class == FetchClass::kBackground && (!start || *start > now) &&
                          IsNearlyDone(host, turn.looked_at);
    if (finishes) {
      start = StartTime(host, fetch_class, finishes);
    }
    if (!start || *start > now) {
      if (start) {
        wake_no_later_than(*start);
      }
      return turn;
    }
    for (auto waiting = feeds.begin(); waiting != feeds.end(); ++waiting) {
      if (const TimePoint image_start = StartTimeOfImage(waiting->image); image_start > now) {
        wake_no_later_than(image_start);
        continue;
      }
      std::shared_ptr<Feed> feed = waiting->feed.lock();
      if (feed && (!finishes || feed->LeftBytes() > 0)) {
        turn.feed = std::move(feed);
        turn.image = waiting->image;
        turn.fetch_class = fetch_class;
        turn.size_bytes = RequestBytesOf(host);
        feeds.erase(waiting);
        return turn;
      }
      turn.looked_at.push_back(std::move(feed));
    }
  }
  return turn;
}

void FetchScheduler::SpendOfImage(const std::string& image, uint64_t bytes, TimePoint now) {
  if (options_.max_bytes_per_second_per_image == 0 || image.empty()) {
    return;
  }
  if (images_.size() >= kManyImages) {
    std::erase_if(images_, [now](const auto& entry) { return entry.second.paid_until <= now; });
  }
  Allowance& allowance = images_[image];
  allowance.bytes_per_second = options_.max_bytes_per_second_per_image;
  allowance.Spend(bytes, now);
}

FetchScheduler::TimePoint FetchScheduler::StartTimeOfImage(const std::string& image) const {
  const auto found = images_.find(image);
  return found == images_.end() ? TimePoint() : found->second.paid_until;
}

/// Whether little is left of what readers may miss.
bool FetchScheduler::IsNearlyDone(const Host& host,
                                  std::vector<std::shared_ptr<Feed>>& looked_at) const {
  const uint64_t little_bytes = options_.finish_round_trips * RequestBytesOf(host);
  uint64_t left_bytes = 0;
  for (const WaitingFeed& waiting : host.feeds[IndexOf(FetchClass::kBackground)]) {
    looked_at.push_back(waiting.feed.lock());
    left_bytes += looked_at.back() ? looked_at.back()->LeftBytes() : 0;
    if (left_bytes > little_bytes) {
      return false;
    }
  }
  return left_bytes > 0;
}

std::optional<FetchScheduler::TimePoint> FetchScheduler::StartTime(const Host& host,
                                                                   FetchClass fetch_class,
                                                                   bool finishes) const {
  const uint64_t on_the_way = SumUpTo(fetch_class, host.bytes_in_flight);
  if (IsLinkFull(host, fetch_class) ||
      (on_the_way > 0 && buffered_bytes_ >= options_.buffer_bytes)) {
    return std::nullopt;
  }
  TimePoint start = all_.paid_until;
  if (IsOfBackground(fetch_class)) {
    start = std::max(start, background_.paid_until);
    // A container whose reads miss has started.
    if (!finishes || host.last_read <= last_start_) {
      start = std::max(start, background_from_);
    }
    if (finishes) {
      return start;
    }
    const bool is_rest = fetch_class == FetchClass::kRest;
    const FetchClass next_above = is_rest ? FetchClass::kBackground : FetchClass::kPrefetch;
    if (host.bytes_in_flight[IndexOf(FetchClass::kDemand)] > 0 ||
        SumUpTo(next_above, host.bytes_in_flight) > 0) {
      return std::nullopt;
    }
    start = std::max(start, (is_rest ? host.last_work : host.last_read) + options_.quiet);
  }
  return start;
}

void FetchScheduler::WakeAt(const std::string& name, Host& host, TimePoint when) {
  if (host.timer_at && *host.timer_at <= when) {
    return;
  }
  host.timer_at = when;
  const auto delay = std::chrono::ceil<milliseconds>(when - dependencies_.clock.Now());
  dependencies_.timer.RunAfter(delay, [weak = weak_from_this(), name, when] {
    const auto self = weak.lock();
    if (!self) {
      return;
    }
    MutexLock lock(self->mutex_);
    if (!self->closed_) {
      std::optional<TimePoint>& timer_at = self->hosts_[name].timer_at;
      if (timer_at == when) {
        timer_at.reset();
      }
      self->RequestPump(name);
    }
  });
}

}  // namespace starling::layer
