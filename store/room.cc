#include "store/room.h"

namespace starling::store {

Status Room::Take(uint64_t size_bytes) {
  const uint64_t held = held_.fetch_add(size_bytes) + size_bytes;
  if (options_.max_bytes == 0) {
    return OkStatus();
  }
  const bool fits = held <= options_.max_bytes;
  if (!fits) {
    Give(size_bytes);
  }
  if (options_.on_low && held > options_.max_bytes - options_.max_bytes / 20) {
    options_.on_low();
  }
  return fits ? OkStatus()
              : MakeError(StatusCode::kResourceExhausted,
                          fmt::format("the store is full: {} bytes are the most it may hold",
                                      options_.max_bytes));
}

void Room::NoteDiskFull() const {
  if (options_.on_low) {
    options_.on_low();
  }
}

}  // namespace starling::store
