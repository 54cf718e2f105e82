#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "layer/buffer_budget.h"
#include "layer/counters.h"
#include "layer/link_estimate.h"
#include "layer/spilled_chunks.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// Decides when what nobody waits for yet may be fetched, for all layers of a process.
///
/// Demand waits for memory at most (`demand_budget`), not for the link. The other classes wait in
/// feeds, one queue for each host and class, and begin as room comes: while fewer bytes are to come
/// than the host's link moves in one and a quarter round trips (of demand what exceeds one round
/// trip counts), more urgent classes first, feeds of one class in turn. So a demand read finds the
/// link not much longer busy. Background work begins only while nothing more urgent is on its way,
/// and a while after the last reader: between a pull and the container's first read the link is
/// free. What hardly anybody will read (`kRest`) comes when all layers have what is likelier, and a
/// while after that: an image that is being pulled has more of it soon. The last of what is
/// likelier is done beside readers.
///
/// Threads: safe. Feeds are called on the executor's threads, with no lock held.
class FetchScheduler : public std::enable_shared_from_this<FetchScheduler> {
 public:
  struct Options {
    /// Bytes on their way or not decoded yet, in all classes but demand: what the memory allows.
    uint64_t buffer_bytes = 12 << 20;
    /// The same of demand requests, and of guesses that begin with them.
    uint64_t demand_bytes = 64 << 20;
    /// How long nothing that a reader asked for must have been on its way before background work
    /// begins, and nothing else before the rest does.
    std::chrono::milliseconds quiet{500};
    /// When background work has no more left for a host than its link moves in so many round trips,
    /// it is done beside readers: the sooner it ends, the fewer reads miss.
    uint64_t finish_round_trips = 32;
    /// How long background work leaves processor and link to a container that is about to start;
    /// the last of it only until that has missed something.
    std::chrono::milliseconds start_quiet{2000};
    /// How long at most where one start follows another, such as the steps of a build; then it has
    /// as long a time for itself.
    std::chrono::milliseconds starts_quiet{10'000};
    /// Caps in bytes a second; 0 is none. Demand is counted, but never held back: the others make
    /// up for it.
    uint64_t max_bytes_per_second = 0;
    uint64_t max_background_bytes_per_second = 0;
    uint64_t max_bytes_per_second_per_image = 0;
  };
  struct Dependencies {
    const Clock& clock;
    Executor& executor;
    Timer& timer;
  };

  /// Work that waits for room. Threads: safe.
  class Feed {
   public:
    virtual ~Feed() = default;
    /// Begins one request of about `size_bytes` and returns true; false when nothing is left.
    virtual bool StartNext(oci::FetchClass fetch_class, uint64_t size_bytes) = 0;
    /// About how many bytes its background work would still fetch that readers may miss, the rest
    /// left out. Called with the scheduler's lock held: neither blocks nor locks.
    virtual uint64_t LeftBytes() const { return 0; }
  };

  /// One request, from before it is sent until its bytes are decoded: its end makes room.
  /// Threads: safe.
  class Flight {
   public:
    Flight(std::shared_ptr<FetchScheduler> scheduler, std::string host, oci::FetchClass fetch_class,
           uint64_t size_bytes, uint64_t decoded_bytes, LinkEstimate::Flight link);
    ~Flight();
    Flight(const Flight&) = delete;
    Flight& operator=(const Flight&) = delete;
    /// Bytes of it came.
    void OnBytes(uint64_t bytes);

   private:
    friend class FetchScheduler;
    const std::shared_ptr<FetchScheduler> scheduler_;
    const std::string host_;
    const oci::FetchClass fetch_class_;
    const uint64_t size_bytes_;
    const uint64_t decoded_bytes_;
    // Guarded by the scheduler's mutex.
    uint64_t to_come_bytes_;
    LinkEstimate::Flight link_;
  };

  /// Borrows its dependencies until Close.
  static std::shared_ptr<FetchScheduler> Make(const Options& options,
                                              const Dependencies& dependencies);

  /// Counts a request of `size_bytes` that is sent now, for `image` if it has a name. Its decoding
  /// takes `decoded_bytes` more, as far as that is worth counting.
  std::shared_ptr<Flight> Begin(const std::string& host, oci::FetchClass fetch_class,
                                uint64_t size_bytes, const std::string& image = {},
                                uint64_t decoded_bytes = 0);
  /// Where a demand request takes its memory from before it begins.
  BufferBudget& demand_budget() { return *demand_budget_; }
  /// What all layers keep in memory that the disk does not take.
  const std::shared_ptr<SpilledChunks>& spilled_chunks() const { return spilled_chunks_; }
  /// Lets `feed` begin requests to `host` until it has nothing left; then it enlists again when it
  /// has more. Enlisting what is enlisted does nothing. A feed that has gone is forgotten; one
  /// whose image has used up its bandwidth lets others go first.
  void Enlist(const std::string& host, oci::FetchClass fetch_class,
              const std::shared_ptr<Feed>& feed, const std::string& image = {});
  /// A container starts: no background work begins for Options::start_quiet.
  void NoteStart();
  /// The clock's time; nothing in particular once closed.
  std::chrono::steady_clock::time_point Now();
  /// Runs `task`, which must not block, after a delay, unless closed by then.
  void RunAfter(std::chrono::milliseconds delay, std::function<void()> task);
  /// What the link to `host` moves in a round trip: fetching that much more costs a reader who
  /// waits for one about as much again.
  uint64_t RoundTripBytes(const std::string& host);
  /// How many bytes beyond what is read a demand request to `host` may bring along: half of
  /// RoundTripBytes for the only reader. When other readers' requests keep the link busy for a
  /// round trip already, what nobody waits for would only delay them.
  uint64_t NeighbourhoodBytes(const std::string& host);
  /// What was measured of the link to `host`; nothing before that.
  std::optional<MeasuredLink> LinkTo(const std::string& host);
  /// After how long without a byte a demand request to `host` is late.
  std::chrono::milliseconds LateAfter(const std::string& host);
  struct InFlight {
    uint64_t requests = 0;
    uint64_t bytes = 0;  // that were asked for
    friend bool operator==(const InFlight&, const InFlight&) = default;
  };
  /// What was begun and is not decoded yet, to all hosts.
  InFlight InFlightOf(Purpose purpose);
  /// Takes the right to send a second request for what one to `host` is late with: one for each 20
  /// demand requests to it, the first at once and at most 5 in a row, so that a host is not made
  /// worse by what it is slow with. False when there is none left.
  bool TakeHedge(const std::string& host);
  /// Nothing is begun from now on; lets go of the dependencies.
  void Close();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr size_t kClasses = 5;
  static constexpr int kHedgeCost = 20;
  static constexpr int kMaxHedgeCredit = 5 * kHedgeCost;

  /// A rate that is kept by waiting after it was exceeded.
  struct Allowance {
    uint64_t bytes_per_second = 0;
    TimePoint paid_until;

    void Spend(uint64_t bytes, TimePoint now);
  };
  struct WaitingFeed {
    std::weak_ptr<Feed> feed;
    std::string image;
  };
  struct Host {
    LinkEstimate link;
    std::array<std::deque<WaitingFeed>, kClasses> feeds;
    std::array<uint64_t, kClasses> bytes_in_flight{};  // until they are decoded
    std::array<uint64_t, kClasses> requests_in_flight{};
    std::array<uint64_t, kClasses> bytes_to_come{};  // of those
    int hedge_credit = kHedgeCost;                   // one more with each demand request
    TimePoint last_read;  // when something was last on its way because a reader was there
    TimePoint last_work;  // the same of all but the rest
    bool is_pumping = false;
    bool pump_again = false;
    std::optional<TimePoint> timer_at;

    /// A request of that class begins or ends.
    void NoteWork(oci::FetchClass fetch_class, TimePoint now);
  };
  struct Turn {
    std::shared_ptr<Feed> feed;
    std::string image;
    oci::FetchClass fetch_class = oci::FetchClass::kBackground;
    uint64_t size_bytes = 0;
    /// Not let go of under the mutex: a feed's end may take that.
    std::vector<std::shared_ptr<Feed>> looked_at;
  };

  FetchScheduler(const Options& options, const Dependencies& dependencies)
      : options_(options),
        dependencies_(dependencies),
        demand_budget_(BufferBudget::Make(options.demand_bytes)) {}

  void End(const Flight& flight);
  void OnBytes(Flight& flight, uint64_t bytes);
  void RequestPump(const std::string& host) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pump(const std::string& host);
  Turn NextTurn(const std::string& name, Host& host) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  /// Without a feed when nothing may begin now; `wake_at` is when something may, if time decides.
  Turn FindTurn(Host& host, TimePoint now, std::optional<TimePoint>& wake_at)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SpendOfImage(const std::string& image, uint64_t bytes, TimePoint now)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TimePoint StartTimeOfImage(const std::string& image) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  /// When the class may begin another request; nothing while it must wait for one to end.
  std::optional<TimePoint> StartTime(const Host& host, oci::FetchClass fetch_class,
                                     bool finishes) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeAt(const std::string& name, Host& host, TimePoint when) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsNearlyDone(const Host& host, std::vector<std::shared_ptr<Feed>>& looked_at) const;
  uint64_t RequestBytesOf(const Host& host) const;
  uint64_t WindowOf(const Host& host) const;
  bool IsLinkFull(const Host& host, oci::FetchClass fetch_class) const;

  const Options options_;
  const Dependencies dependencies_;
  const std::shared_ptr<BufferBudget> demand_budget_;
  const std::shared_ptr<SpilledChunks> spilled_chunks_ = std::make_shared<SpilledChunks>();

  Mutex mutex_;  // above the executor's and the timer's, which are leaves
  bool closed_ GUARDED_BY(mutex_) = false;
  std::map<std::string, Host> hosts_ GUARDED_BY(mutex_);
  uint64_t buffered_bytes_ GUARDED_BY(mutex_) = 0;
  Allowance all_ GUARDED_BY(mutex_);
  Allowance background_ GUARDED_BY(mutex_);
  TimePoint last_start_ GUARDED_BY(mutex_);
  TimePoint starts_since_ GUARDED_BY(mutex_);                   // that follow one another
  TimePoint background_from_ GUARDED_BY(mutex_);                // no background work begins before
  std::map<std::string, Allowance> images_ GUARDED_BY(mutex_);  // that have a cap to keep
};

}  // namespace starling::layer
