#include "layer/member_quarantine.h"

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

}  // namespace starling::layer
