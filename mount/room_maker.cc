#include "mount/room_maker.h"

#include <algorithm>

#include "base/log.h"

namespace starling::mount {

void RoomMaker::MakeSoon() {
  if (is_allowed_ && !will_make_.exchange(true)) {
    deps_.executor.Post([this] { MakeAndGoOn(); });
  }
}

bool RoomMaker::Make(uint64_t size_bytes) {
  if (!is_allowed_) {
    return false;
  }
  {
    MutexLock lock(mutex_);
    const uint64_t before = times_made_;
    while (is_making_) {
      made_.Wait(mutex_);
    }
    if (times_made_ != before) {
      return true;
    }
    is_making_ = true;
  }
  const bool has_room = Evict(size_bytes);
  MutexLock lock(mutex_);
  is_making_ = false;
  times_made_ += has_room ? 1 : 0;
  made_.NotifyAll();
  return has_room;
}

bool RoomMaker::Evict(uint64_t size_bytes) {
  const uint64_t held_bytes = deps_.held_bytes();
  const uint64_t cap = deps_.max_store_bytes;
  const bool is_disk_full = cap == 0 || deps_.spare_bytes() <= size_bytes;
  const uint64_t kept_bytes = is_disk_full
                                  ? held_bytes - held_bytes / 10
                                  : std::min(cap / 10 * 8, cap - std::min(cap, size_bytes));
  if (held_bytes <= kept_bytes) {
    return !is_disk_full;
  }
  const uint64_t made_bytes = deps_.evict(held_bytes - kept_bytes);
  if (made_bytes > 0) {
    log::Info("room was made in the store", {{"held-bytes", fmt::format("{}", held_bytes)},
                                             {"evicted-bytes", fmt::format("{}", made_bytes)}});
  }
  return made_bytes > 0;
}

void RoomMaker::MakeAndGoOn() {
  if (Make(0)) {
    will_make_ = false;
    return;
  }
  log::Info("there is no room to make in the store",
            {{"held-bytes", fmt::format("{}", deps_.held_bytes())}});
  deps_.timer.RunAfter(kPause, [this] { will_make_ = false; });
}

}  // namespace starling::mount
