#include "layer/miss_runs.h"

#include <algorithm>

namespace starling::layer {
namespace {

/// A process reads in few places at once; older runs are over.
constexpr size_t kMaxRuns = 32;
constexpr uint64_t kMaxUnitsOfRun = 8;
constexpr uint64_t kUnitsWhereNear = 4;
/// Misses that are not farther apart speak for each other, in units.
constexpr uint64_t kNearUnits = 8;

uint64_t Distance(uint64_t a, uint64_t b) { return a < b ? b - a : a - b; }

}  // namespace

oci::BlobRange MissRuns::Note(oci::BlobRange missed, uint64_t unit_bytes) {
  const auto goes_on = std::ranges::find_if(runs_, [&](const Run& run) {
    return Distance(run.blob_end, missed.blob_offset) <= unit_bytes / 8;
  });
  Run run{.blob_offset = missed.blob_offset};
  uint64_t before_bytes = 0;
  if (goes_on != runs_.end()) {
    run.units = std::min(2 * goes_on->units, kMaxUnitsOfRun);
    runs_.erase(goes_on);
  } else {
    const bool is_near = std::ranges::any_of(runs_, [&](const Run& other) {
      return Distance(other.blob_offset, missed.blob_offset) <= kNearUnits * unit_bytes;
    });
    run.units = is_near ? kUnitsWhereNear : 1;
    before_bytes = std::min(run.units * unit_bytes, missed.blob_offset);
  }
  run.blob_end = std::max(missed.end(), missed.blob_offset + run.units * unit_bytes);
  runs_.insert(runs_.begin(), run);
  if (runs_.size() > kMaxRuns) {
    runs_.pop_back();
  }
  const uint64_t begin = missed.blob_offset - before_bytes;
  return {.blob_offset = begin, .size_bytes = run.blob_end - begin};
}

std::vector<uint64_t> MissRuns::Ends() const {
  std::vector<uint64_t> ends;
  ends.reserve(runs_.size());
  for (const Run& run : runs_) {
    ends.push_back(run.blob_end);
  }
  return ends;
}

}  // namespace starling::layer
