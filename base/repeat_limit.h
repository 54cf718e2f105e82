#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"

namespace starling {

/// Lets one of many like events through in a while, so that a log says each thing once and not once
/// for each read. Threads: safe.
class RepeatLimit {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit RepeatLimit(std::chrono::steady_clock::duration pause) : pause_(pause) {}

  /// Nothing when an event with this key came through less than the pause ago; else how many like
  /// it were held back since then.
  std::optional<uint64_t> Admit(const std::string& key, TimePoint now);

 private:
  struct Seen {
    TimePoint admitted;
    uint64_t held_back = 0;
  };

  const std::chrono::steady_clock::duration pause_;
  Mutex mutex_;  // leaf
  std::map<std::string, Seen> seen_ GUARDED_BY(mutex_);
};

}  // namespace starling
