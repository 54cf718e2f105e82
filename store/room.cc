#include "store/room.h"

namespace starling::store {

Status Room::Take(uint64_t size_bytes) {
  unsaved_.fetch_add(size_bytes, std::memory_order_relaxed);
  const uint64_t held = held_.fetch_add(size_bytes) + size_bytes;
  if (options_.max_bytes == 0) {
    return OkStatus();
  }
  if (held > options_.max_bytes - options_.max_bytes / 20) {
    is_low_ = true;
  }
  if (held <= options_.max_bytes) {
    return OkStatus();
  }
  Give(size_bytes);
  return MakeError(
      StatusCode::kResourceExhausted,
      fmt::format("the store is full: {} bytes are the most it may hold", options_.max_bytes));
}

void Room::Tell() {
  if (is_low_.load(std::memory_order_relaxed) && is_low_.exchange(false) && options_.on_low) {
    options_.on_low();
  }
  const uint64_t unsaved = unsaved_.load(std::memory_order_relaxed);
  const int due = unsaved == 0 ? 0 : unsaved < options_.much_unsaved_bytes ? 1 : 2;
  int told = told_.load(std::memory_order_relaxed);
  if (due > told && told_.compare_exchange_strong(told, due) && options_.on_unsaved) {
    options_.on_unsaved(due == 1 ? Unsaved::kSome : Unsaved::kMuch);
  }
}

void Room::NoteSaved() {
  unsaved_ = 0;
  told_ = 0;
}

Status RoomShare::Take(uint64_t size_bytes) {
  RETURN_IF_ERROR(room_->Take(size_bytes));
  bytes_.fetch_add(size_bytes);
  return OkStatus();
}

void RoomShare::Give(uint64_t size_bytes) {
  bytes_.fetch_sub(size_bytes);
  room_->Give(size_bytes);
}

void RoomShare::Set(uint64_t size_bytes) {
  room_->Count(size_bytes);
  room_->Give(bytes_.exchange(size_bytes));
}

}  // namespace starling::store
