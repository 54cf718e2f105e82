#include "layer/fetch_plan.h"

namespace starling::layer {

std::vector<PlannedFetch> PlanFetches(std::span<const MemberRecord> members,
                                      std::span<const uint32_t> wanted,
                                      const std::function<bool(uint32_t)>& is_absent,
                                      const FetchLimits& limits) {
  std::vector<PlannedFetch> plan;
  size_t next_wanted = 0;
  while (next_wanted < wanted.size()) {
    const uint32_t first = wanted[next_wanted++];
    const uint64_t start = members[first].blob_offset;
    uint32_t last = first;
    for (uint32_t next = first + 1; next < members.size(); ++next) {
      const MemberRecord& member = members[next];
      // Nothing of ours lies in a hole between members, so it is not worth fetching.
      if (member.blob_offset != members[last].end() ||
          member.end() - start > limits.request_bytes || !is_absent(next)) {
        break;
      }
      const bool is_wanted = next_wanted < wanted.size() && wanted[next_wanted] == next;
      const bool is_near = member.end() - start <= limits.neighbourhood_bytes;
      const bool leads_to_wanted =
          next_wanted < wanted.size() &&
          members[wanted[next_wanted]].blob_offset - members[last].end() <= limits.merge_gap_bytes;
      if (!is_wanted && !is_near && !leads_to_wanted) {
        break;
      }
      last = next;
      next_wanted += is_wanted ? 1 : 0;
    }
    plan.push_back({.range = {.blob_offset = start, .size_bytes = members[last].end() - start},
                    .first_member = first,
                    .last_member = last + 1});
  }
  return plan;
}

}  // namespace starling::layer
