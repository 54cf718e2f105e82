#include "registry/host_pauses.h"

#include <algorithm>

#include "registry/retry.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kShortest{100};
/// Registries choose the hosts that they redirect to, so their number has a bound.
constexpr size_t kMaxHosts = 256;

}  // namespace

std::string HostPauses::KeyOf(std::string_view url) {
  const size_t host = url.find("//");
  const size_t path_at = host == std::string_view::npos ? host : url.find('/', host + 2);
  if (path_at == std::string_view::npos) {
    return std::string(url);
  }
  const std::string origin(url.substr(0, path_at));
  const std::string_view path = url.substr(path_at, url.find('?', path_at) - path_at);
  if (path.starts_with("/v2/")) {
    for (const std::string_view kind : {"/manifests/", "/blobs/"}) {
      if (path.find(kind) != std::string_view::npos) {
        return origin + std::string(kind);
      }
    }
  }
  return origin;
}

HostPauses::Admission HostPauses::Ask(const std::string& key, TimePoint now) {
  MutexLock lock(mutex_);
  const auto found = hosts_.find(key);
  if (found == hosts_.end()) {
    return {.verdict = Verdict::kGo};
  }
  Host& host = found->second;
  if (now < host.until) {
    return {.verdict = Verdict::kWait, .wait = WithSpread(host.until - now)};
  }
  if (host.IsPaused(now)) {
    return {.verdict = Verdict::kWait, .wait = kPollOfOthers};
  }
  host.probe_until = now + kProbeTime;
  return {.verdict = Verdict::kProbe};
}

milliseconds HostPauses::Pause(const std::string& key, std::optional<milliseconds> asked,
                               TimePoint now) {
  MutexLock lock(mutex_);
  if (hosts_.size() >= kMaxHosts && !hosts_.contains(key)) {
    std::erase_if(hosts_, [now](const auto& entry) { return !entry.second.IsPaused(now); });
    if (hosts_.size() >= kMaxHosts) {
      return std::clamp(asked.value_or(RetryDelay(0)), kShortest, kLongest);
    }
  }
  Host& host = hosts_[key];
  // Answers to what was sent before the pause began do not make it longer each.
  if (now >= host.until) {
    ++host.refusals;
    host.probe_until.reset();
  }
  const milliseconds wait =
      std::clamp(asked.value_or(RetryDelay(host.refusals - 1)), kShortest, kLongest);
  host.until = std::max(host.until, now + wait);
  return WithSpread(host.until - now);
}

void HostPauses::Resume(const std::string& key) {
  MutexLock lock(mutex_);
  hosts_.erase(key);
}

bool HostPauses::IsPaused(const std::string& key, TimePoint now) {
  MutexLock lock(mutex_);
  const auto found = hosts_.find(key);
  return found != hosts_.end() && found->second.IsPaused(now);
}

}  // namespace starling::registry
