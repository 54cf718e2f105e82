#include "keeper/backoff.h"

#include <algorithm>

namespace starling::keeper {
namespace {

/// Twice as long as often as this is more than any limit.
constexpr int kMostDoublings = 20;

}  // namespace

std::chrono::milliseconds Backoff::Next(std::chrono::milliseconds lived, bool has_served) {
  if (has_served && lived >= kHealthyLife) {
    deaths_ = 0;
  }
  ++deaths_;
  if (deaths_ == 1) {
    return std::chrono::milliseconds(0);
  }
  return std::min(kFirst * (1 << std::min(deaths_ - 2, kMostDoublings)),
                  has_served ? kMostAfterServing : kMostAfterFailing);
}

}  // namespace starling::keeper
