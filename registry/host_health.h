#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/mutex.h"

namespace starling::registry {

/// Which hosts have failed lately, so that not every request finds it out anew. Threads: safe.
class HostHealth {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// So long a host that failed is asked after the others.
  static constexpr std::chrono::seconds kRest{60};

  void OnFailed(const std::string& host, TimePoint now) {
    MutexLock lock(mutex_);
    failed_at_[host] = now;
  }
  bool IsWell(const std::string& host, TimePoint now) {
    MutexLock lock(mutex_);
    const auto found = failed_at_.find(host);
    return found == failed_at_.end() || now - found->second >= kRest;
  }

 private:
  Mutex mutex_;  // leaf
  std::map<std::string, TimePoint> failed_at_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
