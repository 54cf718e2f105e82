#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "base/status.h"

namespace starling::layer {

/// Members that came wrong, or not at all, from everywhere: their readers get the error for a while
/// without a request. Threads: one at a time.
class MemberQuarantine {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Add(uint32_t member, TimePoint until, const Status& error);
  /// The error of a member in quarantine; OK when it may be fetched (again).
  Status ErrorOf(uint32_t member, TimePoint now);
  /// Until ErrorOf or Release has seen that its time is over.
  bool Has(uint32_t member) const { return members_.contains(member); }
  /// Lets go of those whose time is over. When the next one's is; none when there is none left.
  std::optional<TimePoint> Release(TimePoint now);

 private:
  struct Entry {
    TimePoint until;
    Status error;
  };
  std::map<uint32_t, Entry> members_;
};

}  // namespace starling::layer
