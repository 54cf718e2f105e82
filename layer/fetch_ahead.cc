#include "layer/fetch_ahead.h"

#include <algorithm>
#include <vector>

namespace starling::layer {
namespace {

using oci::BlobRange;
using oci::FetchClass;

/// Pieces of the blob that are remembered to be read ahead; those of older misses are forgotten.
constexpr size_t kMaxReadahead = 32;
/// How far behind a run of misses background work goes first, in requests.
constexpr uint64_t kLikelyRequests = 8;

}  // namespace

void FetchAhead::NoteMiss(BlobRange range, uint64_t unit_bytes) {
  const BlobRange worth = misses_.Note(range, unit_bytes);
  const uint64_t end = std::min(worth.end(), blob_size_bytes_);
  uint64_t after = std::min(range.end(), end);
  uint64_t before = range.blob_offset;
  std::vector<BlobRange> pieces;  // the nearest first
  while (after < end || before > worth.blob_offset) {
    if (const uint64_t bytes = std::min(unit_bytes, end - after); bytes > 0) {
      pieces.push_back({.blob_offset = after, .size_bytes = bytes});
      after += bytes;
    }
    if (const uint64_t bytes = std::min(unit_bytes, before - worth.blob_offset); bytes > 0) {
      before -= bytes;
      pieces.push_back({.blob_offset = before, .size_bytes = bytes});
    }
  }
  readahead_.insert(readahead_.begin(), pieces.begin(), pieces.end());
  readahead_.resize(std::min(readahead_.size(), kMaxReadahead));
}

void FetchAhead::Prefetch(uint64_t blob_bytes) {
  prefetch_ = {.blob_offset = 0, .size_bytes = std::min(blob_bytes, blob_size_bytes_)};
}

void FetchAhead::FetchAll() {
  fetches_all_ = true;
  background_ = {.blob_offset = 0, .size_bytes = blob_size_bytes_};
}

void FetchAhead::Clear() {
  readahead_.clear();
  prefetch_ = {};
  background_ = {};
  fetches_all_ = false;
}

std::optional<PlannedFetch> FetchAhead::Next(FetchClass fetch_class, uint64_t size_bytes,
                                             const IsFree& is_free) {
  switch (fetch_class) {
    case FetchClass::kReadahead:
      return NextReadahead(size_bytes, is_free);
    case FetchClass::kPrefetch:
      return NextWithin(prefetch_, size_bytes, is_free);
    case FetchClass::kBackground:
      return NextBackground(size_bytes, is_free);
    case FetchClass::kDemand:
      break;
  }
  return std::nullopt;
}

/// What lies around the latest miss first.
std::optional<PlannedFetch> FetchAhead::NextReadahead(uint64_t size_bytes, const IsFree& is_free) {
  while (!readahead_.empty()) {
    if (auto next = NextWithin(readahead_.front(), size_bytes, is_free)) {
      return next;
    }
    readahead_.pop_front();
  }
  return std::nullopt;
}

/// What follows the latest misses, then everything from the front.
std::optional<PlannedFetch> FetchAhead::NextBackground(uint64_t size_bytes, const IsFree& is_free) {
  if (background_.size_bytes == 0) {
    return std::nullopt;
  }
  for (const uint64_t blob_end : misses_.Ends()) {
    BlobRange likely{.blob_offset = blob_end, .size_bytes = kLikelyRequests * size_bytes};
    if (auto next = NextWithin(likely, size_bytes, is_free)) {
      return next;
    }
  }
  return NextWithin(background_, size_bytes, is_free);
}

/// The first request of about `size_bytes` for free members that begin in `range`, which is cut to
/// what comes after it; none when nothing is free there.
std::optional<PlannedFetch> FetchAhead::NextWithin(BlobRange& range, uint64_t size_bytes,
                                                   const IsFree& is_free) const {
  const uint64_t end = range.end();
  const auto first =
      std::ranges::lower_bound(members_, range.blob_offset, {}, &MemberRecord::blob_offset);
  for (auto at = first; at != members_.end() && at->blob_offset < end; ++at) {
    const auto member = static_cast<uint32_t>(at - members_.begin());
    if (!is_free(member)) {
      continue;
    }
    const auto is_free_there = [&](uint32_t other) {
      return members_[other].blob_offset < end && is_free(other);
    };
    const PlannedFetch fetch =
        PlanFetches(
            members_, std::span(&member, 1), is_free_there,
            {.neighbourhood_bytes = size_bytes, .merge_gap_bytes = 0, .request_bytes = size_bytes})
            .front();
    const uint64_t fetched = fetch.range.end();
    range = {.blob_offset = fetched, .size_bytes = end - std::min(fetched, end)};
    return fetch;
  }
  range = {.blob_offset = end, .size_bytes = 0};
  return std::nullopt;
}

}  // namespace starling::layer
