#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/status.h"

namespace starling::store {

/// How many bytes of chunks a store may hold, and holds. Threads: safe, lock-free.
class Room {
 public:
  struct Options {
    uint64_t max_bytes = 0;  // 0: what the disk has
    /// Called whenever something is taken while less than a twentieth of it is left, and when the
    /// disk is full. On the taker's thread: it must not block.
    std::function<void()> on_low;
  };

  explicit Room(Options options) : options_(std::move(options)) {}

  /// Counts bytes that are about to be written. kResourceExhausted when there is no room for them.
  Status Take(uint64_t size_bytes);
  /// Counts bytes that are there already, whether there is room or not.
  void Count(uint64_t size_bytes) { held_.fetch_add(size_bytes); }
  /// Those that were taken or counted and are gone, or were not written.
  void Give(uint64_t size_bytes) { held_.fetch_sub(size_bytes); }
  /// The disk had less room than this knows of.
  void NoteDiskFull() const;

  uint64_t held_bytes() const { return held_.load(); }
  uint64_t max_bytes() const { return options_.max_bytes; }

 private:
  const Options options_;
  std::atomic<uint64_t> held_ = 0;
};

}  // namespace starling::store
