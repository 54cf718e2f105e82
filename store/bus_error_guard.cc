#include "store/bus_error_guard.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <vector>

#include "base/mutex.h"

namespace starling::store {

struct BusErrorGuard::Slot {
  std::atomic<uintptr_t> begin = 0;  // 0: free; written last
  std::atomic<uintptr_t> end = 0;    // of the last page
  std::atomic<int> protection = PROT_NONE;
  std::atomic<bool> is_damaged = false;
};

namespace {

using Slot = BusErrorGuard::Slot;

static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "a signal handler reads them");

/// Slots in blocks that are never freed, so that the handler can walk them without a lock.
struct Block {
  std::array<Slot, 128> slots;
  Block* next = nullptr;
};

std::atomic<Block*> blocks = nullptr;
struct sigaction action_before{};
uintptr_t page_bytes = 0;

/// The slot of the guarded range with this address, or null.
Slot* FindSlot(uintptr_t address) {
  for (Block* block = blocks.load(); block != nullptr; block = block->next) {
    for (Slot& slot : block->slots) {
      const uintptr_t begin = slot.begin.load();
      // The same again: nobody else's end was read with it.
      if (begin != 0 && begin <= address && address < slot.end.load() &&
          slot.begin.load() == begin) {
        return &slot;
      }
    }
  }
  return nullptr;
}

/// Puts zeros in the place of what cannot be had. Only what is safe in a signal handler.
bool ReplaceByZeros(uintptr_t address) {
  Slot* const slot = FindSlot(address);
  if (slot == nullptr) {
    return false;
  }
  slot->is_damaged = true;  // before anybody can read a zero
  const uintptr_t page = address / page_bytes * page_bytes;
  // Not by mmap(3), in whose place sanitizers put functions that take locks.
  const auto mapped = ::syscall(SYS_mmap, page, slot->end.load() - page, slot->protection.load(),
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  return mapped == static_cast<long>(page);
}

void OnBusError(int signal, siginfo_t* info, void* /*context*/) {
  const int errno_before = errno;
  const bool is_of_memory = info->si_code > 0;  // else somebody sent it
  if (is_of_memory && ReplaceByZeros(reinterpret_cast<uintptr_t>(info->si_addr))) {
    errno = errno_before;
    return;
  }
  // It comes again, by itself or from here, once this handler has returned.
  ::sigaction(signal, &action_before, nullptr);
  if (!is_of_memory) {
    ::raise(signal);
  }
  errno = errno_before;
}

/// The process's slots, for those who are not in the handler.
class Slots {
 public:
  static Slots& Get() {
    static Slots& slots = *new Slots;  // as long as the process, as the handler
    return slots;
  }

  Slot* Take() {
    const MutexLock lock(mutex_);
    if (free_.empty()) {
      auto* const block = new Block{.slots = {}, .next = blocks.load()};
      for (Slot& slot : block->slots) {
        free_.push_back(&slot);
      }
      blocks.store(block);
    }
    Slot* const slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void GiveBack(Slot* slot) {
    slot->begin = 0;
    const MutexLock lock(mutex_);
    free_.push_back(slot);
  }

 private:
  Slots() {
    page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action{};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &action_before);
  }

  Mutex mutex_;  // leaf
  std::vector<Slot*> free_ GUARDED_BY(mutex_);
};

}  // namespace

BusErrorGuard::BusErrorGuard(std::span<std::byte> mapped, Access access)
    : slot_(Slots::Get().Take()) {
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  slot_->end = (begin + mapped.size() + page_bytes - 1) / page_bytes * page_bytes;
  slot_->protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  slot_->is_damaged = false;
  slot_->begin = begin;
}

BusErrorGuard::~BusErrorGuard() {
  if (slot_ != nullptr) {
    Slots::Get().GiveBack(slot_);
  }
}

bool BusErrorGuard::is_damaged() const { return slot_ != nullptr && slot_->is_damaged.load(); }

}  // namespace starling::store
