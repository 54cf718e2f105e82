#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace starling {

/// How long things took, counted in buckets. Threads: safe and lock-free; to observe is two relaxed
/// additions and takes no memory. A snapshot that is taken meanwhile may lack what is just being
/// observed.
class DurationHistogram {
 public:
  using Duration = std::chrono::steady_clock::duration;

  /// The upper ends of the buckets, inclusive: from a read of the page cache to an outage. What is
  /// longer is in one bucket more.
  static constexpr std::array<std::chrono::microseconds, 15> kBounds{
      std::chrono::microseconds(10),  std::chrono::microseconds(30), std::chrono::microseconds(100),
      std::chrono::microseconds(300), std::chrono::milliseconds(1),  std::chrono::milliseconds(3),
      std::chrono::milliseconds(10),  std::chrono::milliseconds(30), std::chrono::milliseconds(100),
      std::chrono::milliseconds(300), std::chrono::seconds(1),       std::chrono::seconds(3),
      std::chrono::seconds(10),       std::chrono::seconds(30),      std::chrono::seconds(100)};

  struct Snapshot {
    std::array<uint64_t, kBounds.size() + 1> counts{};  // each bucket's own
    std::chrono::nanoseconds sum{0};

    uint64_t count() const;
    friend bool operator==(const Snapshot&, const Snapshot&) = default;
  };

  /// A negative duration counts as none.
  void Observe(Duration taken) noexcept;
  Snapshot snapshot() const;

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<uint64_t> sum_nanoseconds_{0};
};

}  // namespace starling
