#include "layer/link_estimate.h"

#include <algorithm>

namespace starling::layer {
namespace {

using std::chrono::microseconds;

constexpr std::chrono::seconds kWindow(10);
constexpr std::chrono::milliseconds kFirstRoundTrip(20);
constexpr std::chrono::seconds kFirstLate(1);
constexpr std::chrono::milliseconds kLeastLate(250);
constexpr uint64_t kFirstRate = 50'000'000;
// A rate is taken over this time or this many bytes: over less it is the burst of some buffer on
// the way and says nothing about the link.
constexpr std::chrono::milliseconds kSampleTime(20);
constexpr uint64_t kSampleBytes = 2 << 20;

}  // namespace

template <typename Value, typename Better>
void LinkEstimate::Recent<Value, Better>::Note(Value value, TimePoint at) {
  if (at - since > kWindow) {
    before = at - since > 2 * kWindow ? std::nullopt : now;
    now.reset();
    since = at;
  }
  if (!now || Better()(value, *now)) {
    now = value;
  }
}

template <typename Value, typename Better>
std::optional<Value> LinkEstimate::Recent<Value, Better>::Best() const {
  return now && (!before || Better()(*now, *before)) ? now : before;
}

void LinkEstimate::OnBytes(Flight& flight, uint64_t bytes, TimePoint now) {
  delivered_bytes_ += bytes;
  if (!flight.first_byte) {
    flight.first_byte = now;
    flight.delivered_bytes = delivered_bytes_;
    round_trip_.Note(now - flight.begin, now);
    NoteFirstByte(now - flight.begin);
    return;
  }
  const Duration taken = now - *flight.first_byte;
  const uint64_t came_bytes = delivered_bytes_ - flight.delivered_bytes;
  const auto taken_us = std::chrono::duration_cast<microseconds>(taken).count();
  if (taken_us > 0 && (taken >= kSampleTime || came_bytes >= kSampleBytes)) {
    rate_.Note(came_bytes * 1'000'000 / static_cast<uint64_t>(taken_us), now);
  }
}

void LinkEstimate::NoteFirstByte(Duration taken) {
  if (!smoothed_) {
    smoothed_ = taken;
    deviation_ = taken / 2;
    return;
  }
  deviation_ = (3 * deviation_ + std::chrono::abs(*smoothed_ - taken)) / 4;
  smoothed_ = (7 * *smoothed_ + taken) / 8;
}

LinkEstimate::Duration LinkEstimate::late() const {
  if (!smoothed_) {
    return kFirstLate;
  }
  return std::max<Duration>({*smoothed_ + 4 * deviation_, 4 * round_trip(), kLeastLate});
}

LinkEstimate::Duration LinkEstimate::round_trip() const {
  return round_trip_.Best().value_or(kFirstRoundTrip);
}

uint64_t LinkEstimate::bytes_per_second() const { return rate_.Best().value_or(kFirstRate); }

std::optional<MeasuredLink> LinkEstimate::measured() const {
  const auto trip = round_trip_.Best();
  const auto rate = rate_.Best();
  if (!trip || !rate) {
    return std::nullopt;
  }
  return MeasuredLink{.round_trip = *trip, .bytes_per_second = *rate};
}

uint64_t LinkEstimate::BytesIn(Duration duration) const {
  return MeasuredLink{.round_trip = duration, .bytes_per_second = bytes_per_second()}
      .round_trip_bytes();
}

uint64_t MeasuredLink::round_trip_bytes() const {
  const auto us = std::chrono::duration_cast<microseconds>(round_trip).count();
  return bytes_per_second * static_cast<uint64_t>(std::max<int64_t>(us, 0)) / 1'000'000;
}

}  // namespace starling::layer
