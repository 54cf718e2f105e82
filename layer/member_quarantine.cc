#include "layer/member_quarantine.h"

#include <algorithm>

namespace starling::layer {

void MemberQuarantine::Add(uint32_t member, TimePoint until, const Status& error) {
  members_[member] = {.until = until, .error = error};
}

Status MemberQuarantine::ErrorOf(uint32_t member, TimePoint now) {
  const auto found = members_.find(member);
  if (found == members_.end()) {
    return OkStatus();
  }
  if (now < found->second.until) {
    return found->second.error;
  }
  members_.erase(found);
  return OkStatus();
}

std::optional<MemberQuarantine::TimePoint> MemberQuarantine::Release(TimePoint now) {
  std::erase_if(members_, [now](const auto& entry) { return entry.second.until <= now; });
  const auto next =
      std::ranges::min_element(members_, {}, [](const auto& entry) { return entry.second.until; });
  return next == members_.end() ? std::nullopt : std::optional(next->second.until);
}

}  // namespace starling::layer
