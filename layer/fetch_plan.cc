#include "layer/fetch_plan.h"

namespace starling::layer {
namespace {

/// Members of one request, and from where on others may be added before them.
struct Run {
  uint32_t from = 0;
  uint32_t first = 0;
  uint32_t last = 0;
};

/// The first of the neighbours before the run.
uint32_t LookBack(std::span<const MemberRecord> members, const Run& run,
                  const std::function<bool(uint32_t)>& is_absent, const FetchLimits& limits) {
  const uint64_t missed = members[run.first].blob_offset;
  uint32_t begin = run.first;
  while (begin > run.from) {
    const MemberRecord& before = members[begin - 1];
    if (before.end() != members[begin].blob_offset ||
        missed - before.blob_offset > limits.neighbourhood_bytes / 2 || !is_absent(begin - 1)) {
      break;
    }
    --begin;
  }
  return begin;
}

PlannedFetch Cover(std::span<const MemberRecord> members, uint32_t first, uint32_t last) {
  const uint64_t begin = members[first].blob_offset;
  return {.range = {.blob_offset = begin, .size_bytes = members[last - 1].end() - begin},
          .first_member = first,
          .last_member = last};
}

}  // namespace

std::vector<PlannedFetch> PlanFetches(std::span<const MemberRecord> members,
                                      std::span<const uint32_t> wanted,
                                      const std::function<bool(uint32_t)>& is_absent,
                                      const FetchLimits& limits) {
  std::vector<PlannedFetch> plan;
  std::vector<PlannedFetch> guesses;
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
    const uint32_t free_from = plan.empty() ? 0 : plan.back().last_member;
    const uint32_t begin =
        LookBack(members, {.from = free_from, .first = first, .last = last}, is_absent, limits);
    if (begin < first) {
      guesses.push_back(Cover(members, begin, first));
      guesses.back().is_guess = true;
    }
    plan.push_back(Cover(members, first, last + 1));
  }
  plan.insert(plan.end(), guesses.begin(), guesses.end());
  return plan;
}

}  // namespace starling::layer
