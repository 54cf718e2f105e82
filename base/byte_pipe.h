#pragma once

#include <deque>
#include <functional>
#include <string>

#include "base/io.h"
#include "base/mutex.h"

namespace starling {

/// Joins code that pushes bytes to code that pulls them, each on a thread of its own.
/// Threads: one that writes and then calls Finish, one that reads and then calls Abandon.
class BytePipe : public ByteSink, public ByteSource {
 public:
  /// Writing waits while more than `limit_bytes` have not been read.
  explicit BytePipe(size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// kCancelled once the reader has gone.
  Status Write(ByteSpan bytes) override;
  /// Nothing more comes: the reader sees the end, or `status` if that is an error.
  void Finish(Status status);

  StatusOr<size_t> Read(std::span<std::byte> out) override;
  /// Nothing more is wanted. Bytes not read are dropped.
  void Abandon();

 private:
  const size_t limit_bytes_;
  Mutex mutex_;  // leaf
  Condition changed_;
  std::deque<Bytes> waiting_ GUARDED_BY(mutex_);  // none is empty
  size_t waiting_bytes_ GUARDED_BY(mutex_) = 0;
  size_t front_read_bytes_ GUARDED_BY(mutex_) = 0;  // of the first one, already read
  bool finished_ GUARDED_BY(mutex_) = false;
  bool abandoned_ GUARDED_BY(mutex_) = false;
  Status result_ GUARDED_BY(mutex_);
};

/// Runs `write` on a thread called `thread_name` and `read` on the caller's, joined by a pipe of
/// `limit_bytes`. The first error counts: that of `write`, unless it is that the reader had gone,
/// else that of `read`; kInternal when `read` was content before the end.
Status RunPiped(const std::string& thread_name, size_t limit_bytes,
                const std::function<Status(ByteSink&)>& write,
                const std::function<Status(ByteSource&)>& read);

}  // namespace starling
