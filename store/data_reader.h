#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "base/file_system.h"

namespace starling::store {

/// Reads a layer's data file for programs that go through many small files. The kernel reads ahead
/// for each of their reads only where it follows the one before; those of a directory's files jump
/// about within a few MiB, and each would wait for the disk. So when a second read nearby has to
/// wait, the kernel is told to read their whole region, and the next ones whenever such a region is
/// entered. What is in the kernel's memory costs no more than without. docs/decisions/0056.
/// Threads: safe.
class DataReader {
 public:
  static constexpr uint64_t kRegionBytes = uint64_t{1} << 20;
  /// How far ahead: the region that is read and those that follow it.
  static constexpr uint64_t kRegionsAhead = 4;

  /// `on_wait` is called before a read that waits for the disk, and must not block.
  explicit DataReader(FileSystem& files, std::function<void()> on_wait = {})
      : files_(files), on_wait_(std::move(on_wait)) {}
  /// As FileSystem::ReadAt; always with the same file.
  Status Read(int fd, uint64_t data_address, std::span<std::byte> out);

 private:
  /// The latest regions that something happened to, each once.
  template <size_t kSize>
  class RecentRegions {
   public:
    RecentRegions() {
      for (auto& region : regions_) {
        region.store(kNone, kRelaxed);
      }
    }
    bool Has(uint64_t region) const {
      for (const auto& one : regions_) {
        if (one.load(kRelaxed) == region) {
          return true;
        }
      }
      return false;
    }
    void Add(uint64_t region) {
      if (!Has(region)) {
        regions_[next_.fetch_add(1, kRelaxed) % kSize].store(region, kRelaxed);
      }
    }

   private:
    std::array<std::atomic<uint64_t>, kSize> regions_;
    std::atomic<uint32_t> next_ = 0;
  };

  bool IsInMemory(int fd, uint64_t region) const;
  void OnCached(int fd, uint64_t region);
  void OnWait(int fd, uint64_t region);
  void ReadAhead(int fd, uint64_t region);
  void ReadAheadAfter(int fd, uint64_t region);

  static constexpr auto kRelaxed = std::memory_order_relaxed;  // each stands for itself
  static constexpr uint64_t kNone = UINT64_MAX;

  FileSystem& files_;
  const std::function<void()> on_wait_;
  std::atomic<bool> can_tell_ = true;  // until the file system says otherwise
  std::atomic<uint64_t> entered_ = kNone;
  RecentRegions<16> waited_for_;
  RecentRegions<32> read_ahead_;
};

}  // namespace starling::store
