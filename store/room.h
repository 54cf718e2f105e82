#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/status.h"

namespace starling::store {

/// How many bytes of the disk a store may occupy, and occupies. Threads: safe, lock-free.
class Room {
 public:
  enum class Unsaved { kSome, kMuch };
  struct Options {
    uint64_t max_bytes = 0;  // 0: what the disk has
    /// Called by Tell when there is little room, or the disk was full. Must not block.
    std::function<void()> on_low;
    /// Called by Tell after the first bytes were taken since NoteSaved (kSome), and when these are
    /// `much_unsaved_bytes` (kMuch): it is time for a checkpoint. Must not block.
    std::function<void(Unsaved)> on_unsaved;
    uint64_t much_unsaved_bytes = UINT64_MAX;
  };

  explicit Room(Options options) : options_(std::move(options)) {}

  /// Counts bytes that are about to be written. kResourceExhausted when there is no room for them.
  Status Take(uint64_t size_bytes);
  /// Calls `on_low` if something was taken while less than a twentieth was left, or could not be,
  /// and `on_unsaved`. For after the taker's locks.
  void Tell();
  /// What was taken until now is about to be forced to the disk.
  void NoteSaved();
  /// Counts bytes that are there already, whether there is room or not.
  void Count(uint64_t size_bytes) { held_.fetch_add(size_bytes); }
  /// Those that were taken or counted and are gone, or were not written.
  void Give(uint64_t size_bytes) { held_.fetch_sub(size_bytes); }
  /// The disk had less room than this knows of.
  void NoteDiskFull() { is_low_ = true; }

  uint64_t held_bytes() const { return held_.load(); }
  uint64_t max_bytes() const { return options_.max_bytes; }

 private:
  const Options options_;
  std::atomic<uint64_t> held_ = 0;
  std::atomic<bool> is_low_ = false;
  std::atomic<uint64_t> unsaved_ = 0;
  std::atomic<int> told_ = 0;  // how many of the calls of on_unsaved there were since NoteSaved
};

/// What one layer has of a room; gives it back at its end. Threads: safe, lock-free.
class RoomShare {
 public:
  explicit RoomShare(std::shared_ptr<Room> room) : room_(std::move(room)) {}
  ~RoomShare() { room_->Give(bytes_); }
  RoomShare(const RoomShare&) = delete;
  RoomShare& operator=(const RoomShare&) = delete;

  /// As Room::Take.
  Status Take(uint64_t size_bytes);
  void Give(uint64_t size_bytes);
  /// Counts `size_bytes` in place of all that was counted. Nothing is taken or given meanwhile.
  void Set(uint64_t size_bytes);
  uint64_t bytes() const { return bytes_.load(); }
  Room& room() const { return *room_; }

 private:
  const std::shared_ptr<Room> room_;
  std::atomic<uint64_t> bytes_ = 0;
};

}  // namespace starling::store
