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
    run.goes_on = true;
    runs_.erase(goes_on);
  } else {
    const bool is_near = std::ranges::any_of(runs_, [&](const Run& other) {
      return Distance(other.blob_offset, missed.blob_offset) <= kNearUnits * unit_bytes;
    });
    run.units = is_near ? kUnitsWhereNear : 1;
    before_bytes = std::min(run.units * unit_bytes, missed.blob_offset);
  }
  run.blob_end = std::max(missed.end(), missed.blob_offset + run.units * unit_bytes);
  AddLatest(run);
  const uint64_t begin = missed.blob_offset - before_bytes;
  return {.blob_offset = begin, .size_bytes = run.blob_end - begin};
}

void MissRuns::AddLatest(const Run& run) {
  runs_.insert(runs_.begin(), run);
  if (runs_.size() > kMaxRuns) {
    runs_.pop_back();
  }
}

void MissRuns::EndLatestAt(uint64_t blob_end) { runs_.front().blob_end = blob_end; }

std::optional<oci::BlobRange> MissRuns::NoteRead(oci::BlobRange read, uint64_t unit_bytes) {
  const auto awaited = std::ranges::find_if(runs_, [&](const Run& run) {
    const oci::BlobRange half = run.SecondHalf();
    return run.goes_on && half.blob_offset < read.end() && read.blob_offset < half.end();
  });
  if (awaited == runs_.end()) {
    return std::nullopt;
  }
  Run run = *awaited;
  runs_.erase(awaited);
  run.blob_offset = read.blob_offset;
  run.units = std::min(2 * run.units, kMaxUnitsOfRun);
  run.blob_end = std::max({run.blob_end, read.end(), read.blob_offset + run.units * unit_bytes});
  AddLatest(run);
  return oci::BlobRange{.blob_offset = read.blob_offset,
                        .size_bytes = run.blob_end - read.blob_offset};
}

std::optional<oci::BlobRange> MissRuns::AwaitedRead() const {
  return runs_.empty() || !runs_.front().goes_on ? std::nullopt
                                                 : std::optional(runs_.front().SecondHalf());
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
