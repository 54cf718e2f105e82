#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "registry/http_transport.h"

namespace starling::registry {

/// How many requests a registry still answers, as its latest answer told.
/// Source: Docker Hub, "Usage and limits": RateLimit-Limit and RateLimit-Remaining ("100;w=21600"),
/// Docker-RateLimit-Source.
struct RateLimit {
  std::optional<uint64_t> limit;  // in a window
  std::optional<uint64_t> remaining;
  std::chrono::seconds window{0};  // 0: not told
  std::string source;              // whose requests are counted together: an address or a user

  /// Nothing when the answer tells of no limit. What is unreadable counts as not told.
  static std::optional<RateLimit> Of(const HttpResponse& response);
  /// "12 of 100 requests in 6 h are left, counted for 192.0.2.1".
  std::string ToString() const;

  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

/// Told when a registry's limit becomes another story, not at each request.
enum class RateLimitState { kPlenty, kLow, kExhausted };
struct RateLimitEvent {
  std::string registry;  // as references name it
  RateLimit limit;
  RateLimitState state = RateLimitState::kPlenty;
};
/// Called on any thread, with no lock held; must not block.
using RateLimitObserver = std::function<void(const RateLimitEvent&)>;

/// What the registries of a process have told of their limits. Threads: safe.
class RateLimits {
 public:
  explicit RateLimits(RateLimitObserver observer) : observer_(std::move(observer)) {}

  /// Takes an answer of `registry` into account. Low is below a tenth; 429 is exhausted, whatever
  /// the headers say. Nobody is told of a registry whose first answer promises plenty.
  void OnAnswer(const std::string& registry, const HttpResponse& response);
  /// The latest of `registry`; nothing when it has told of none.
  std::optional<RateLimit> Of(const std::string& registry);
  /// By registry.
  std::map<std::string, RateLimit> All();

 private:
  struct Known {
    RateLimit limit;
    RateLimitState state = RateLimitState::kPlenty;
  };

  const RateLimitObserver observer_;
  Mutex mutex_;  // leaf
  std::map<std::string, Known> known_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
