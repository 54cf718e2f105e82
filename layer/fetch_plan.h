/// Which range requests bring the members that a read misses.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "layer/chunk_table.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// What a member is worth, next to one that is fetched.
enum class Worth {
  kNothing,  // held or on its way
  kLittle,   // absent, but unlikely to be read
  kMuch,
};
using WorthOf = std::function<Worth(uint32_t member)>;

struct FetchLimits {
  /// A miss brings its neighbourhood too: the absent members that follow, up to this many bytes
  /// from where the miss begins, in the same request; and half as many before it in a request of
  /// their own, because a reader should not wait for them. The files of a directory lie close
  /// together in a blob, but in no order that a program would follow.
  uint64_t neighbourhood_bytes = 512 << 10;
  /// Members of little worth belong to no neighbourhood, unless the missed one is such, too: then
  /// they are read here. Up to so many bytes of them between others come along, because a request
  /// more costs more.
  uint64_t bridged_bytes = 128 << 10;
  /// Absent members of this many bytes between two wanted ones are fetched with them.
  uint64_t merge_gap_bytes = 1 << 20;
  /// A request ends here, unless a single member is larger.
  uint64_t request_bytes = 8 << 20;
};

/// One range request and the members in it; consecutive, every one is to be decoded.
struct PlannedFetch {
  oci::BlobRange range;
  uint32_t first_member = 0;
  uint32_t last_member = 0;  // one past
  bool is_guess = false;     // nothing in it is wanted yet
};

/// What of a round trip's bytes FetchLimits::bridged_bytes is.
inline constexpr uint64_t kBridgedPart = 8;

/// Covers `wanted` (member numbers, sorted, unique, worth something) with range requests. Only
/// members that are worth something are taken along, so that no byte is fetched twice. Guesses come
/// last. Deterministic.
std::vector<PlannedFetch> PlanFetches(std::span<const MemberRecord> members,
                                      std::span<const uint32_t> wanted, const WorthOf& worth_of,
                                      const FetchLimits& limits);

}  // namespace starling::layer
