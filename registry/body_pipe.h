#pragma once

#include <deque>
#include <functional>

#include "base/bytes.h"
#include "base/io.h"
#include "base/mutex.h"
#include "base/status.h"

namespace starling::registry {

/// A bounded buffer between the transport's thread, which never waits, and a thread that may.
/// One side uses the blocking calls (it is an ordinary source or sink), the other the Try calls.
/// Threads: safe for one reader and one writer.
class BodyPipe : public ByteSource, public ByteSink {
 public:
  static constexpr size_t kDefaultCapacityBytes = 1 << 20;
  explicit BodyPipe(size_t capacity_bytes = kDefaultCapacityBytes)
      : capacity_bytes_(capacity_bytes) {}

  /// Waits for bytes. 0 once the writer has closed and all was read; its error if it gave one.
  StatusOr<size_t> Read(std::span<std::byte> out) override;
  /// Waits for room. Fails when the reader has closed.
  Status Write(ByteSpan bytes) override;

  enum class Attempt { kDone, kWait, kClosed };
  /// All of `bytes`, or nothing (kWait; kClosed when the reader has gone). An empty pipe takes
  /// any amount.
  Attempt TryWrite(ByteSpan bytes);
  /// Fills some of `out`. kDone with 0 bytes is the end; kClosed means that the writer failed.
  Attempt TryRead(std::span<std::byte> out, size_t& read_bytes);
  /// `wake` is called, with no lock held, after a Try call said kWait and may now succeed.
  void SetWaker(std::function<void()> wake);

  /// No more bytes will come; the reader gets what is there, then the end or `status`.
  void CloseWrite(const Status& status = OkStatus());
  /// Nobody reads any more; the writer gets `status`, which is an error.
  void CloseRead(const Status& status);
  /// Why the writer closed; OK while it has not.
  Status WriteStatus();

 private:
  size_t Take(std::span<std::byte> out) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Put(ByteSpan bytes) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasRoom(size_t size_bytes) const EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return buffered_bytes_ == 0 || buffered_bytes_ + size_bytes <= capacity_bytes_;
  }
  /// The waker if a Try call waits, once.
  std::function<void()> ClaimWaker() EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t capacity_bytes_;
  Mutex mutex_;  // leaf
  Condition changed_;
  std::deque<Bytes> chunks_ GUARDED_BY(mutex_);
  size_t front_used_bytes_ GUARDED_BY(mutex_) = 0;  // of the first chunk
  size_t buffered_bytes_ GUARDED_BY(mutex_) = 0;
  bool write_closed_ GUARDED_BY(mutex_) = false;
  bool read_closed_ GUARDED_BY(mutex_) = false;
  Status write_status_ GUARDED_BY(mutex_);
  Status read_status_ GUARDED_BY(mutex_);
  bool try_waits_ GUARDED_BY(mutex_) = false;
  std::function<void()> wake_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
