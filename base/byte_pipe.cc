#include "base/byte_pipe.h"

#include <algorithm>
#include <thread>

#include "base/executor.h"

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

Status RunPiped(const std::string& thread_name, size_t limit_bytes,
                const std::function<Status(ByteSink&)>& write,
                const std::function<Status(ByteSource&)>& read) {
  BytePipe pipe(limit_bytes);
  Status written;  // the thread's, until it is joined
  std::thread writer([&] {
    SetThreadName(thread_name);
    written = write(pipe);
    pipe.Finish(written);
  });
  const Status was_read = read(pipe);
  pipe.Abandon();
  writer.join();
  // The writer's error is the cause of the reader's. If the reader gave up, though, it cancelled
  // the writer, which is not what went wrong.
  if (!written.ok() && written.code() != StatusCode::kCancelled) {
    return written;
  }
  RETURN_IF_ERROR(was_read);
  return written.ok() ? OkStatus()
                      : MakeError(StatusCode::kInternal, "the input was not read to its end");
}

}  // namespace starling
