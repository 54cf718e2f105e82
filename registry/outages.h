#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"

namespace starling::registry {

/// A place stopped answering as it should, or does so again: an operator is told once each. Left:
/// nobody has asked it for a while, because what waited went elsewhere or gave up.
struct OutageEvent {
  enum class Kind { kAway, kBack, kLeft };
  Kind kind = Kind::kAway;
  std::string place;                    // "https://ghcr.io", or a repository's URL below it
  std::chrono::milliseconds lasted{0};  // since the first failure
  size_t waiting = 0;                   // requests
  std::string error;                    // the latest failure
};
/// Called with no lock held, on the thread of the answer; must not block.
using OutageObserver = std::function<void(const OutageEvent&)>;

/// Which places are away: several requests in a row found no connection there, or an answer that
/// says that it has trouble of its own. All requests of a process then wait together, and one at a
/// time finds out whether the place is back, less often the longer it lasts: an outage costs the
/// same number of requests, whoever waits. Threads: safe.
class Outages {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using milliseconds = std::chrono::milliseconds;

  /// Failures in a row, with no good answer between them, after which a place is away.
  static constexpr int kFailuresInARow = 3;
  /// For so long the others wait for the one that finds out; then another one does.
  static constexpr milliseconds kProbeTime = std::chrono::seconds(12);
  /// Where nobody asks any more for so long is forgotten.
  static constexpr milliseconds kLeftAfter = std::chrono::seconds(60);
  /// What is over sooner is not told.
  static constexpr milliseconds kTellAfter = std::chrono::seconds(2);

  enum class Verdict { kGo, kProbe, kWait };
  /// After a wait the request asks again. `is_probed`: it waits for another one's answer.
  struct Admission {
    Verdict verdict = Verdict::kGo;
    milliseconds wait{0};
    bool is_probed = false;
  };

  explicit Outages(OutageObserver observer = nullptr) : observer_(std::move(observer)) {}

  /// Scheme, host and port of a URL: what is away together.
  static std::string PlaceOf(std::string_view url);

  /// One request on its way to a place; counted as waiting from its first failure or wait on.
  /// Threads: one at a time.
  class Visit {
   public:
    Visit(std::shared_ptr<Outages> outages, std::string place, std::string what)
        : outages_(std::move(outages)), place_(std::move(place)), what_(std::move(what)) {}
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    /// What it may do now.
    Admission Ask(TimePoint now);
    /// It failed with `error`. How long it waits before it asks again; nothing when the place is
    /// not away: then the request's own delay counts.
    std::optional<milliseconds> Failed(const Status& error, TimePoint now);
    /// It got a good answer: nobody waits any more.
    void Answered(TimePoint now);
    /// It ended without saying anything about the place.
    void Ended();
    /// Why the place is away; OK when it is not.
    Status Reason(TimePoint now) const;

   private:
    friend class Outages;
    const std::shared_ptr<Outages> outages_;
    const std::string place_;
    const std::string what_;  // requests for the same fail together: its path
    bool is_probe_ = false;
    bool is_counted_ = false;
  };

  /// True when a request would have to wait.
  bool IsAway(const std::string& place, TimePoint now);

 private:
  struct Place {
    int failures = 0;  // in a row
    int rounds = 0;    // of waiting
    TimePoint first_failure;
    TimePoint until;
    TimePoint last_asked;
    std::optional<TimePoint> probe_until;
    std::string failed_last;  // the `what` of the latest failure
    std::string error;
    size_t waiting = 0;
    bool is_told = false;

    bool is_away() const { return failures >= kFailuresInARow; }
    bool MustWait(TimePoint now) const {
      return is_away() && (now < until || (probe_until && now < *probe_until));
    }
  };

  static OutageEvent EventOf(OutageEvent::Kind kind, const std::string& name, const Place& place,
                             TimePoint now);
  Place* Find(const std::string& place) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  /// Null when there are too many already.
  Place* FindOrAdd(const std::string& place) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetLeft(TimePoint now, std::vector<OutageEvent>& events) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(const std::vector<OutageEvent>& events) const;

  const OutageObserver observer_;
  Mutex mutex_;  // leaf
  std::map<std::string, Place> places_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
