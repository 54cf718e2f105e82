#include "mount/container_starts.h"

namespace starling::mount {

bool ContainerStarts::Note(uint64_t number, TimePoint now) {
  Times& times = times_.try_emplace(number, Times{.first = now, .latest = now}).first->second;
  times.latest = now;
  return now - times.first > kOneStart;
}

std::optional<ContainerStarts::TimePoint> ContainerStarts::Latest(uint64_t number) const {
  const auto found = times_.find(number);
  return found == times_.end() ? std::nullopt : std::optional(found->second.latest);
}

}  // namespace starling::mount
