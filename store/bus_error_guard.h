#pragma once

#include <cstddef>
#include <span>
#include <utility>

namespace starling::store {

/// Memory at which a file is mapped, guarded for its life: where the kernel has no page to give
/// (the disk answers EIO, the file was cut), the process reads zeros from there to the end of the
/// range instead of dying of SIGBUS, and the range is damaged. A SIGBUS anywhere else does what it
/// did before the first guard (docs/decisions/0041-bus-errors.md).
///
/// System calls that are handed such memory fail with EFAULT instead: copy first, then ask.
/// Threads: safe. Let go before the memory is unmapped, when nobody uses it any more.
class BusErrorGuard {
 public:
  enum class Access { kRead, kReadAndWrite };

  BusErrorGuard() = default;
  /// `mapped` begins at a page and has at least one byte.
  BusErrorGuard(std::span<std::byte> mapped, Access access);
  BusErrorGuard(BusErrorGuard&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  BusErrorGuard& operator=(BusErrorGuard&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~BusErrorGuard();

  /// True once some of the range cannot be had. Whoever read from it asks afterwards whether what
  /// was read can be the file's. Lock-free.
  bool is_damaged() const;

  struct Slot;

 private:
  Slot* slot_ = nullptr;
};

}  // namespace starling::store
