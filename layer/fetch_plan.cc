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
uint32_t LookBack(std::span<const MemberRecord> members, const Run& run, const WorthOf& worth_of,
                  const FetchLimits& limits) {
  const uint64_t missed = members[run.first].blob_offset;
  const bool takes_all = worth_of(run.first) == Worth::kLittle;
  uint32_t begin = run.first;
  for (uint32_t at = run.first; at > run.from; --at) {
    const MemberRecord& before = members[at - 1];
    const Worth worth = worth_of(at - 1);
    if (before.end() != members[at].blob_offset || worth == Worth::kNothing ||
        missed - before.blob_offset > limits.neighbourhood_bytes / 2) {
      break;
    }
    if (takes_all || worth == Worth::kMuch) {
      begin = at - 1;
    } else if (members[begin].blob_offset - before.blob_offset > limits.bridged_bytes) {
      break;
    }
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
                                      std::span<const uint32_t> wanted, const WorthOf& worth_of,
                                      const FetchLimits& limits) {
  std::vector<PlannedFetch> plan;
  std::vector<PlannedFetch> guesses;
  size_t next_wanted = 0;
  while (next_wanted < wanted.size()) {
    const uint32_t first = wanted[next_wanted++];
    const uint64_t start = members[first].blob_offset;
    const bool takes_all = worth_of(first) == Worth::kLittle;
    uint32_t last = first;
    for (uint32_t next = first + 1; next < members.size(); ++next) {
      const MemberRecord& member = members[next];
      const Worth worth = worth_of(next);
      // Nothing of ours lies in a hole between members, so it is not worth fetching.
      if (member.blob_offset != members[next - 1].end() || worth == Worth::kNothing ||
          member.end() - start > limits.request_bytes) {
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
      if (worth == Worth::kLittle && !takes_all && !is_wanted && !leads_to_wanted) {
        if (member.end() - members[last].end() > limits.bridged_bytes) {
          break;
        }
        continue;
      }
      last = next;
      next_wanted += is_wanted ? 1 : 0;
    }
    const uint32_t free_from = plan.empty() ? 0 : plan.back().last_member;
    const uint32_t begin =
        LookBack(members, {.from = free_from, .first = first, .last = last}, worth_of, limits);
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
