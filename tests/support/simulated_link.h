/// A registry at the other end of a line, in the time of a ManualClock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "tests/support/manual_executor.h"

namespace starling::testing_support {

/// The line of bench/netproxy: a fixed rate behind a short queue, which the answers share a segment
/// each in turn. Threads: one.
class SimulatedLink {
 public:
  using Part = std::function<void(uint64_t bytes, bool is_last)>;
  using Duration = std::chrono::steady_clock::duration;
  struct Shape {
    Duration round_trip = std::chrono::milliseconds(20);
    Duration server = std::chrono::milliseconds(8);  // between a request's arrival and its answer
    uint64_t bytes_per_second = 50'000'000;
    Duration queue = std::chrono::milliseconds(20);
    uint64_t segment_bytes = 16 << 10;

    /// What is on the line when it is busy and nothing waits in front of it.
    uint64_t bandwidth_delay_bytes() const { return BytesIn(round_trip); }
    uint64_t BytesIn(Duration time) const {
      return bytes_per_second * static_cast<uint64_t>(time.count()) / std::nano::den;
    }
  };

  /// Borrows both.
  SimulatedLink(ManualClock& clock, ManualTimer& timer, const Shape& shape)
      : clock_(clock), timer_(timer), shape_(shape) {}

  /// Asks for `size_bytes`, at least 1; `part` is called with each number of bytes that comes, and
  /// that it is the last.
  void Ask(uint64_t size_bytes, Part part) {
    ++requests_;
    bytes_ += size_bytes;
    asked_bytes_ += size_bytes;
    most_asked_bytes_ = std::max(most_asked_bytes_, asked_bytes_);
    timer_.RunAt(clock_.Now() + shape_.round_trip / 2 + shape_.server,
                 [this, answer = Answer{.left_bytes = size_bytes,
                                        .part = std::make_shared<Part>(std::move(part))}] {
                   answers_.push_back(answer);
                   Pump();
                 });
  }
  uint64_t requests() const { return requests_; }
  uint64_t bytes() const { return bytes_; }
  /// The most bytes that were asked for and had not come.
  uint64_t most_asked_bytes() const { return most_asked_bytes_; }
  const Shape& shape() const { return shape_; }

 private:
  struct Answer {
    uint64_t left_bytes = 0;
    std::shared_ptr<Part> part;  // one, because it may keep count
  };

  void Pump() {
    const auto now = clock_.Now();
    while (!answers_.empty() && free_at_ - now <= shape_.queue) {
      Answer answer = std::move(answers_.front());
      answers_.pop_front();
      const uint64_t bytes = std::min(answer.left_bytes, shape_.segment_bytes);
      answer.left_bytes -= bytes;
      free_at_ = std::max(free_at_, now) +
                 std::chrono::nanoseconds(bytes * std::nano::den / shape_.bytes_per_second);
      timer_.RunAt(free_at_ + shape_.round_trip / 2,
                   [this, part = answer.part, bytes, is_last = answer.left_bytes == 0] {
                     asked_bytes_ -= bytes;
                     (*part)(bytes, is_last);
                   });
      if (answer.left_bytes > 0) {
        answers_.push_back(std::move(answer));
      }
    }
    if (!answers_.empty() && !std::exchange(is_waiting_, true)) {
      timer_.RunAt(free_at_ - shape_.queue, [this] {
        is_waiting_ = false;
        Pump();
      });
    }
  }

  ManualClock& clock_;
  ManualTimer& timer_;
  const Shape shape_;
  std::deque<Answer> answers_;  // that have bytes for the line
  std::chrono::steady_clock::time_point free_at_;
  bool is_waiting_ = false;
  uint64_t requests_ = 0;
  uint64_t bytes_ = 0;
  uint64_t asked_bytes_ = 0;
  uint64_t most_asked_bytes_ = 0;
};

}  // namespace starling::testing_support
