#include "base/byte_pipe.h"

#include <algorithm>

namespace starling {

Status BytePipe::Write(ByteSpan bytes) {
  if (bytes.empty()) {
    return OkStatus();
  }
  Bytes copy(bytes.begin(), bytes.end());
  MutexLock lock(mutex_);
  while (!abandoned_ && waiting_bytes_ > limit_bytes_) {
    changed_.Wait(mutex_);
  }
  if (abandoned_) {
    return MakeError(StatusCode::kCancelled, "the reader has gone");
  }
  waiting_bytes_ += copy.size();
  waiting_.push_back(std::move(copy));
  changed_.NotifyAll();
  return OkStatus();
}

void BytePipe::Finish(Status status) {
  MutexLock lock(mutex_);
  finished_ = true;
  result_ = std::move(status);
  changed_.NotifyAll();
}

StatusOr<size_t> BytePipe::Read(std::span<std::byte> out) {
  MutexLock lock(mutex_);
  while (!finished_ && waiting_.empty()) {
    changed_.Wait(mutex_);
  }
  if (waiting_.empty()) {
    RETURN_IF_ERROR(result_);
    return 0;
  }
  const ByteSpan front = ByteSpan(waiting_.front()).subspan(front_read_bytes_);
  const size_t count = std::min(out.size(), front.size());
  std::copy_n(front.begin(), count, out.begin());
  front_read_bytes_ += count;
  waiting_bytes_ -= count;
  if (count == front.size()) {
    waiting_.pop_front();
    front_read_bytes_ = 0;
  }
  changed_.NotifyAll();
  return count;
}

void BytePipe::Abandon() {
  MutexLock lock(mutex_);
  abandoned_ = true;
  changed_.NotifyAll();
}

}  // namespace starling
