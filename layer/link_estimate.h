#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace starling::layer {

/// What was measured of a link.
struct MeasuredLink {
  std::chrono::steady_clock::duration round_trip{};
  uint64_t bytes_per_second = 0;

  /// Bytes that it moves in a round trip.
  uint64_t round_trip_bytes() const;
};

/// What the link to a host can do, learnt from the requests that it answered: the shortest time to
/// a first byte and the highest rate of the last seconds. Source: the model of BBR
/// (draft-cardwell-iccrg-bbr-congestion-control, section 2.1), fed by requests instead of packets.
/// Threads: one at a time.
class LinkEstimate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  /// What is remembered of one request until it ends.
  struct Flight {
    TimePoint begin;
    std::optional<TimePoint> first_byte;
    uint64_t delivered_bytes = 0;  // by all requests, when the first byte had come
  };

  Flight Begin(TimePoint now) const { return {.begin = now, .first_byte = {}}; }
  /// Bytes of the request came. The rate counts those of all requests, because they share the link.
  void OnBytes(Flight& flight, uint64_t bytes, TimePoint now);

  /// Until something was measured: 20 ms and 50 MB/s, an ordinary link to a registry.
  Duration round_trip() const;
  uint64_t bytes_per_second() const;
  /// Nothing until both were measured.
  std::optional<MeasuredLink> measured() const;
  /// After how long without a byte a request is late: hardly one in twenty is, and it is worth
  /// asking again. The smoothed time to the first byte and four times its deviation (RFC 6298,
  /// section 2), at least 4 round trips and 250 ms. Until something was measured: 1 s.
  Duration late() const;
  /// Bytes that the link moves in `duration`.
  uint64_t BytesIn(Duration duration) const;

 private:
  void NoteFirstByte(Duration taken);

  /// The best of the last one to two windows, so that what is no longer true is forgotten.
  template <typename Value, typename Better>
  struct Recent {
    std::optional<Value> now;
    std::optional<Value> before;
    TimePoint since;

    void Note(Value value, TimePoint at);
    std::optional<Value> Best() const;
  };
  struct Shorter {
    bool operator()(Duration a, Duration b) const { return a < b; }
  };
  struct Higher {
    bool operator()(uint64_t a, uint64_t b) const { return a > b; }
  };

  uint64_t delivered_bytes_ = 0;
  std::optional<Duration> smoothed_;  // time to the first byte
  Duration deviation_{};
  Recent<Duration, Shorter> round_trip_;
  Recent<uint64_t, Higher> rate_;
};

}  // namespace starling::layer
