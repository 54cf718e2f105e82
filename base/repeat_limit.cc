#include "base/repeat_limit.h"

namespace starling {
namespace {

/// More kinds of events than these at once are not told apart.
constexpr size_t kMaxKeys = 1024;

}  // namespace

std::optional<uint64_t> RepeatLimit::Admit(const std::string& key, TimePoint now) {
  MutexLock lock(mutex_);
  if (seen_.size() >= kMaxKeys && !seen_.contains(key)) {
    std::erase_if(seen_, [&](const auto& entry) { return now - entry.second.admitted >= pause_; });
  }
  auto found = seen_.find(key);
  if (found == seen_.end()) {
    found = seen_.emplace(seen_.size() < kMaxKeys ? key : "", Seen{.admitted = now - pause_}).first;
  }
  Seen& seen = found->second;
  if (now - seen.admitted < pause_) {
    ++seen.held_back;
    return std::nullopt;
  }
  const uint64_t held_back = seen.held_back;
  seen = {.admitted = now};
  return held_back;
}

}  // namespace starling
