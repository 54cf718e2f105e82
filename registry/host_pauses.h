#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace starling::registry {

/// Who has asked for a pause (429, or 503 with Retry-After), for all requests of a process: they
/// wait together, and when the pause is over one of them finds out whether it is, while the others
/// wait for its answer. Threads: safe.
class HostPauses {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using milliseconds = std::chrono::milliseconds;

  /// However long a host asks for.
  static constexpr milliseconds kLongest = std::chrono::seconds(60);
  /// For so long the others wait for the one that finds out; then another one does.
  static constexpr milliseconds kProbeTime = std::chrono::seconds(5);

  enum class Verdict { kGo, kProbe, kWait };
  /// After a wait the request asks again.
  struct Admission {
    Verdict verdict = Verdict::kGo;
    milliseconds wait{0};
  };

  /// Who limits requests together: an origin, of a registry its manifests and its blobs apart,
  /// because their limits are (Docker Hub counts manifests, ECR every kind of call), and a reader
  /// of blobs must not wait for somebody who pulls too many images.
  static std::string KeyOf(std::string_view url);

  /// What a request to `key` may do now.
  Admission Ask(const std::string& key, TimePoint now);
  /// The answer was to wait, for `asked` if it said so, or else for longer each time. Returns how
  /// long the request waits before it asks again.
  milliseconds Pause(const std::string& key, std::optional<milliseconds> asked, TimePoint now);
  /// The answer to a request that was to find out came, or never will: the others may go.
  void Resume(const std::string& key);
  /// True when a request would have to wait.
  bool IsPaused(const std::string& key, TimePoint now);

 private:
  struct Host {
    TimePoint until;
    std::optional<TimePoint> probe_until;
    int refusals = 0;  // one after the other

    bool IsPaused(TimePoint now) const {
      return now < until || (probe_until && now < *probe_until);
    }
  };

  Mutex mutex_;  // leaf
  std::map<std::string, Host> hosts_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
