#include "layer/miss_runs.h"

#include <algorithm>

namespace starling::layer {
namespace {

/// A process reads in few places at once; older runs are over.
constexpr size_t kMaxRuns = 16;
constexpr uint64_t kMaxUnits = 8;

}  // namespace

uint64_t MissRuns::Note(uint64_t blob_offset, uint64_t blob_end, uint64_t unit_bytes) {
  const auto goes_on = std::ranges::find_if(runs_, [&](const Run& run) {
    const uint64_t slack_bytes = unit_bytes / 8;
    return blob_offset + slack_bytes >= run.blob_end && blob_offset <= run.blob_end + slack_bytes;
  });
  Run run;
  if (goes_on != runs_.end()) {
    run.units = std::min(2 * goes_on->units, kMaxUnits);
    runs_.erase(goes_on);
  } else if (runs_.size() == kMaxRuns) {
    runs_.pop_back();
  }
  run.blob_end = std::max(blob_end, blob_offset + run.units * unit_bytes);
  runs_.insert(runs_.begin(), run);
  return run.blob_end;
}

std::vector<uint64_t> MissRuns::Ends() const {
  std::vector<uint64_t> ends;
  for (const Run& run : runs_) {
    ends.push_back(run.blob_end);
  }
  return ends;
}

}  // namespace starling::layer
