#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace starling::credentials {

/// What was fetched by key, until its time to be renewed. Who asks for a key that is being fetched
/// waits for that fetch. A failure is remembered for a while, too, so that a service that is not
/// there is not asked by every request. In memory only. Threads: safe; blocks as the fetches do.
template <typename Value>
class ExpiringCache {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Fetched {
    Value value;
    TimePoint renew_at;
  };
  using Fetch = std::function<StatusOr<Fetched>()>;

  /// For so long a failure is remembered.
  static constexpr std::chrono::seconds kFailureLife{15};
  /// What is younger is not fetched again because somebody refused it: a registry that refuses
  /// everything must not cost the service behind `fetch` a request each time.
  static constexpr std::chrono::seconds kLeastAge{15};
  /// More keys than that, and all are forgotten.
  static constexpr size_t kMaxKeys = 1000;

  explicit ExpiringCache(const Clock& clock) : clock_(clock) {}

  StatusOr<Value> Get(const std::string& key, const Fetch& fetch) {
    {
      MutexLock lock(mutex_);
      while (fetching_.contains(key)) {
        fetched_.Wait(mutex_);
      }
      if (const auto found = entries_.find(key);
          found != entries_.end() && clock_.Now() < found->second.renew_at) {
        return found->second.value;
      }
      fetching_.insert(key);
    }
    StatusOr<Fetched> fetched = fetch();
    const TimePoint now = clock_.Now();
    MutexLock lock(mutex_);
    if (entries_.size() >= kMaxKeys) {
      entries_.clear();
    }
    Entry entry{.value = MakeError(StatusCode::kInternal, ""),
                .fetched_at = now,
                .renew_at = now + kFailureLife};
    if (fetched.ok()) {
      entry.value = std::move(fetched->value);
      entry.renew_at = fetched->renew_at;
    } else {
      entry.value = fetched.status();
    }
    fetching_.erase(key);
    fetched_.NotifyAll();
    return entries_.insert_or_assign(key, std::move(entry)).first->second.value;
  }

  void Forget(const std::string& key) {
    MutexLock lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end() && clock_.Now() - found->second.fetched_at >= kLeastAge) {
      entries_.erase(found);
    }
  }

 private:
  struct Entry {
    StatusOr<Value> value;
    TimePoint fetched_at;
    TimePoint renew_at;
  };

  const Clock& clock_;
  Mutex mutex_;  // leaf
  Condition fetched_;
  std::set<std::string> fetching_ GUARDED_BY(mutex_);
  std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);
};

/// When to ask for something anew that ends at `expires_at`: before that by a tenth of what is
/// left, 15 minutes at most.
std::chrono::steady_clock::time_point RenewalOf(const Clock& clock,
                                                std::chrono::system_clock::time_point expires_at);

}  // namespace starling::credentials
