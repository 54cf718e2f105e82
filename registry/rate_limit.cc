#include "registry/rate_limit.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "registry/url.h"

namespace starling::registry {
namespace {

constexpr uint64_t kMaxCount = 1'000'000'000;
constexpr uint64_t kMaxWindowSeconds = 366 * 24 * 3600;
constexpr size_t kMaxSourceBytes = 80;
constexpr uint64_t kLowDivisor = 10;

std::optional<uint64_t> ParseNumber(std::string_view text, uint64_t most) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return text.empty() || error != std::errc() || end != text.data() + text.size() || number > most
             ? std::nullopt
             : std::optional(number);
}

/// "100;w=21600", or the number alone.
std::optional<uint64_t> ParseCount(std::string_view text, std::chrono::seconds& window) {
  const size_t semicolon = std::min(text.find(';'), text.size());
  const std::string_view parameters = text.substr(std::min(semicolon + 1, text.size()));
  if (parameters.starts_with("w=")) {
    const auto seconds = ParseNumber(parameters.substr(2), kMaxWindowSeconds);
    window = seconds ? std::chrono::seconds(*seconds) : window;
  }
  return ParseNumber(text.substr(0, semicolon), kMaxCount);
}

std::string WindowText(std::chrono::seconds window) {
  if (window.count() % 3600 == 0) {
    return fmt::format("{} h", window.count() / 3600);
  }
  return window.count() % 60 == 0 ? fmt::format("{} min", window.count() / 60)
                                  : fmt::format("{} s", window.count());
}

RateLimitState StateOf(const RateLimit& limit, int status) {
  if (status == 429 || limit.remaining == uint64_t{0}) {
    return RateLimitState::kExhausted;
  }
  return limit.remaining && limit.limit && *limit.remaining < *limit.limit / kLowDivisor
             ? RateLimitState::kLow
             : RateLimitState::kPlenty;
}

}  // namespace

std::optional<RateLimit> RateLimit::Of(const HttpResponse& response) {
  RateLimit limit;
  limit.limit = ParseCount(response.HeaderValue("RateLimit-Limit"), limit.window);
  limit.remaining = ParseCount(response.HeaderValue("RateLimit-Remaining"), limit.window);
  if (!limit.limit && !limit.remaining) {
    return std::nullopt;
  }
  limit.source = Printable(response.HeaderValue("Docker-RateLimit-Source"), kMaxSourceBytes);
  return limit;
}

std::string RateLimit::ToString() const {
  std::string text = remaining ? fmt::format("{}", *remaining) : "some";
  text += limit ? fmt::format(" of {} requests", *limit) : std::string(" requests");
  if (window.count() > 0) {
    text += " in " + WindowText(window);
  }
  text += " are left";
  return source.empty() ? text : text + ", counted for " + source;
}

void RateLimits::OnAnswer(const std::string& registry, const HttpResponse& response) {
  const auto told = RateLimit::Of(response);
  if (!told && response.status != 429) {
    return;
  }
  RateLimitEvent event{.registry = registry};
  {
    MutexLock lock(mutex_);
    Known& known = known_[registry];
    if (told) {
      known.limit = *told;
    }
    const RateLimitState state = StateOf(known.limit, response.status);
    if (std::exchange(known.state, state) == state) {
      return;
    }
    event.limit = known.limit;
    event.state = state;
  }
  if (observer_) {
    observer_(event);
  }
}

std::optional<RateLimit> RateLimits::Of(const std::string& registry) {
  MutexLock lock(mutex_);
  const auto found = known_.find(registry);
  return found == known_.end() || found->second.limit == RateLimit()
             ? std::nullopt
             : std::optional(found->second.limit);
}

std::map<std::string, RateLimit> RateLimits::All() {
  MutexLock lock(mutex_);
  std::map<std::string, RateLimit> all;
  for (const auto& [registry, known] : known_) {
    if (known.limit != RateLimit()) {
      all.emplace(registry, known.limit);
    }
  }
  return all;
}

}  // namespace starling::registry
