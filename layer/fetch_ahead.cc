#include "layer/fetch_ahead.h"

#include <algorithm>
#include <vector>

namespace starling::layer {
namespace {

using oci::BlobRange;
using oci::FetchClass;

/// Pieces of the blob that are remembered to be read ahead; those of older misses are forgotten.
constexpr size_t kMaxReadahead = 32;
/// Of a request: a larger gap is worth two requests where all of a layer is fetched in turn.
constexpr uint64_t kPrefetchBridgedPart = 4;
/// How far behind a run of misses background work goes first, in requests.
constexpr uint64_t kLikelyRequests = 8;
/// Held read-ahead begins when so much was missed, or so often: docs/decisions/0052.
constexpr uint64_t kHeldMissedBytes = 8'000'000;
constexpr int kHeldMisses = 24;

}  // namespace

void FetchAhead::NoteMiss(BlobRange range, Worth worth_of_first, uint64_t unit_bytes) {
  missed_bytes_ += range.size_bytes;
  ++noted_misses_;
  ReadAround(range, worth_of_first, misses_.Note(range, unit_bytes), unit_bytes);
}

void FetchAhead::NoteRead(BlobRange range, Worth worth_of_first, uint64_t unit_bytes) {
  if (const auto worth = misses_.NoteRead(range, unit_bytes)) {
    ReadAround(range, worth_of_first, *worth, unit_bytes);
  }
}

bool FetchAhead::may_read_ahead() const {
  return !holds_readahead_ || missed_bytes_ >= kHeldMissedBytes || noted_misses_ >= kHeldMisses;
}

/// The end of the last member that begins before `blob_offset`.
uint64_t FetchAhead::EndOfMemberBefore(uint64_t blob_offset) const {
  const auto next = std::ranges::lower_bound(members_, blob_offset, {}, &MemberRecord::blob_offset);
  return next == members_.begin() ? blob_offset : std::prev(next)->end();
}

/// Makes `worth` read-ahead, which is about `range`.
void FetchAhead::ReadAround(BlobRange range, Worth worth_of_first, BlobRange worth,
                            uint64_t unit_bytes) {
  // The next miss of a run is where the last of these members ends, however large it is.
  misses_.EndLatestAt(std::max(worth.end(), EndOfMemberBefore(worth.end())));
  const uint64_t end = std::min(worth.end(), blob_size_bytes_);
  uint64_t after = std::min(range.end(), end);
  uint64_t before = range.blob_offset;
  std::vector<Piece> pieces;  // the nearest first
  const auto add = [&](uint64_t blob_offset, uint64_t bytes) {
    pieces.push_back({.range = {.blob_offset = blob_offset, .size_bytes = bytes},
                      .takes_all = worth_of_first == Worth::kLittle});
  };
  while (after < end || before > worth.blob_offset) {
    const uint64_t most_bytes = before > worth.blob_offset ? unit_bytes : end - after;
    if (const uint64_t bytes = std::min(most_bytes, end - after); bytes > 0) {
      add(after, bytes);
      after += bytes;
    }
    if (const uint64_t bytes = std::min(unit_bytes, before - worth.blob_offset); bytes > 0) {
      before -= bytes;
      add(before, bytes);
    }
  }
  readahead_.insert(readahead_.begin(), pieces.begin(), pieces.end());
  readahead_.resize(std::min(readahead_.size(), kMaxReadahead));
}

void FetchAhead::Prefetch(uint64_t blob_bytes) {
  Resume();
  prefetch_ = {.range = {.blob_offset = 0, .size_bytes = std::min(blob_bytes, blob_size_bytes_)},
               .takes_all = true};
}

void FetchAhead::PrefetchAll() {
  Resume();
  prefetch_ = {.range = {.blob_offset = 0, .size_bytes = blob_size_bytes_}, .bridges_more = true};
}

void FetchAhead::FetchAll() {
  Resume();
  fetches_all_ = true;
  const BlobRange all{.blob_offset = 0, .size_bytes = blob_size_bytes_};
  background_ = {.range = all};
  rest_ = {.range = all, .takes_all = true};
}

void FetchAhead::Clear() {
  readahead_.clear();
  prefetch_ = {};
  PauseBackground();
  fetches_all_ = false;
  is_stopped_ = true;
}

std::optional<PlannedFetch> FetchAhead::Next(FetchClass fetch_class, uint64_t size_bytes,
                                             const WorthOf& worth_of) {
  switch (fetch_class) {
    case FetchClass::kReadahead:
      return may_read_ahead() ? NextReadahead(size_bytes, worth_of) : std::nullopt;
    case FetchClass::kPrefetch:
      return NextWithin(prefetch_, size_bytes, worth_of);
    case FetchClass::kBackground:
      return NextBackground(size_bytes, worth_of);
    case FetchClass::kRest:
      return NextWithin(rest_, size_bytes, worth_of);
    case FetchClass::kDemand:
      break;
  }
  return std::nullopt;
}

/// Of the first piece that has something.
std::optional<PlannedFetch> FetchAhead::NextReadahead(uint64_t size_bytes,
                                                      const WorthOf& worth_of) {
  while (!readahead_.empty()) {
    if (auto next = NextWithin(readahead_.front(), size_bytes, worth_of)) {
      return next;
    }
    readahead_.pop_front();
  }
  return std::nullopt;
}

/// What follows the latest misses, then everything that is worth much from the front.
std::optional<PlannedFetch> FetchAhead::NextBackground(uint64_t size_bytes,
                                                       const WorthOf& worth_of) {
  if (background_.range.size_bytes == 0) {
    return std::nullopt;
  }
  for (const uint64_t blob_end : misses_.Ends()) {
    Piece likely{.range = {.blob_offset = blob_end, .size_bytes = kLikelyRequests * size_bytes}};
    if (auto next = NextWithin(likely, size_bytes, worth_of)) {
      return next;
    }
  }
  return NextWithin(background_, size_bytes, worth_of);
}

/// The first request of about `size_bytes` for members that begin in `piece`, which is cut to what
/// comes after it; none when nothing there is worth it.
std::optional<PlannedFetch> FetchAhead::NextWithin(Piece& piece, uint64_t size_bytes,
                                                   const WorthOf& worth_of) const {
  BlobRange& range = piece.range;
  const uint64_t end = range.end();
  const uint64_t bridged_part = piece.bridges_more ? kPrefetchBridgedPart : kBridgedPart;
  const auto first =
      std::ranges::lower_bound(members_, range.blob_offset, {}, &MemberRecord::blob_offset);
  for (auto at = first; at != members_.end() && at->blob_offset < end; ++at) {
    const auto member = static_cast<uint32_t>(at - members_.begin());
    const Worth worth = worth_of(member);
    if (worth == Worth::kNothing || (worth == Worth::kLittle && !piece.takes_all)) {
      continue;
    }
    const auto worth_there = [&](uint32_t other) {
      const Worth there = members_[other].blob_offset < end ? worth_of(other) : Worth::kNothing;
      return piece.takes_all && there == Worth::kLittle ? Worth::kMuch : there;
    };
    const PlannedFetch fetch = PlanFetches(members_, std::span(&member, 1), worth_there,
                                           {.neighbourhood_bytes = size_bytes,
                                            .bridged_bytes = size_bytes / bridged_part,
                                            .merge_gap_bytes = 0,
                                            .request_bytes = size_bytes})
                                   .front();
    const uint64_t fetched = fetch.range.end();
    range = {.blob_offset = fetched, .size_bytes = end - std::min(fetched, end)};
    return fetch;
  }
  range = {.blob_offset = end, .size_bytes = 0};
  return std::nullopt;
}

}  // namespace starling::layer
