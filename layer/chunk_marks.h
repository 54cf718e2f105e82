#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace starling::layer {

/// A bit for each chunk of a layer. Threads: safe, lock-free.
class ChunkMarks {
 public:
  explicit ChunkMarks(size_t chunks) : words_((chunks + kWordBits - 1) / kWordBits) {}

  /// True when it had no mark before.
  bool Set(uint32_t chunk) noexcept {
    std::atomic<uint64_t>& word = words_[chunk / kWordBits];
    // Most have one already: then nothing is written that processors share.
    return !Has(chunk) &&
           (word.fetch_or(BitOf(chunk), std::memory_order_relaxed) & BitOf(chunk)) == 0;
  }
  bool Has(uint32_t chunk) const noexcept {
    return (words_[chunk / kWordBits].load(std::memory_order_relaxed) & BitOf(chunk)) != 0;
  }
  bool any() const noexcept {
    for (const std::atomic<uint64_t>& word : words_) {
      if (word.load(std::memory_order_relaxed) != 0) {
        return true;
      }
    }
    return false;
  }
  void Clear() noexcept {
    for (std::atomic<uint64_t>& word : words_) {
      word.store(0, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr uint32_t kWordBits = 64;
  static constexpr uint64_t BitOf(uint32_t chunk) { return uint64_t{1} << chunk % kWordBits; }

  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace starling::layer
