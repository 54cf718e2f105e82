#include "registry/body_pipe.h"

#include <algorithm>
#include <utility>

namespace starling::registry {

StatusOr<size_t> BodyPipe::Read(std::span<std::byte> out) {
  std::function<void()> wake;
  size_t taken_bytes = 0;
  {
    MutexLock lock(mutex_);
    while (buffered_bytes_ == 0 && !write_closed_) {
      changed_.Wait(mutex_);
    }
    if (buffered_bytes_ == 0) {
      RETURN_IF_ERROR(write_status_);
      return 0;
    }
    taken_bytes = Take(out);
    wake = ClaimWaker();
  }
  changed_.NotifyAll();
  if (wake) {
    wake();
  }
  return taken_bytes;
}

Status BodyPipe::Write(ByteSpan bytes) {
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    while (!HasRoom(bytes.size()) && !read_closed_) {
      changed_.Wait(mutex_);
    }
    if (read_closed_) {
      return read_status_;
    }
    Put(bytes);
    wake = ClaimWaker();
  }
  changed_.NotifyAll();
  if (wake) {
    wake();
  }
  return OkStatus();
}

BodyPipe::Attempt BodyPipe::TryWrite(ByteSpan bytes) {
  {
    MutexLock lock(mutex_);
    if (read_closed_) {
      return Attempt::kClosed;
    }
    if (!HasRoom(bytes.size())) {
      try_waits_ = true;
      return Attempt::kWait;
    }
    Put(bytes);
  }
  changed_.NotifyAll();
  return Attempt::kDone;
}

BodyPipe::Attempt BodyPipe::TryRead(std::span<std::byte> out, size_t& read_bytes) {
  read_bytes = 0;
  {
    MutexLock lock(mutex_);
    if (buffered_bytes_ == 0) {
      if (!write_closed_) {
        try_waits_ = true;
        return Attempt::kWait;
      }
      return write_status_.ok() ? Attempt::kDone : Attempt::kClosed;
    }
    read_bytes = Take(out);
  }
  changed_.NotifyAll();
  return Attempt::kDone;
}

void BodyPipe::SetWaker(std::function<void()> wake) {
  MutexLock lock(mutex_);
  wake_ = std::move(wake);
  try_waits_ = false;
}

void BodyPipe::CloseWrite(const Status& status) {
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    if (write_closed_) {
      return;
    }
    write_closed_ = true;
    write_status_ = status;
    wake = ClaimWaker();
  }
  changed_.NotifyAll();
  if (wake) {
    wake();
  }
}

void BodyPipe::CloseRead(const Status& status) {
  std::function<void()> wake;
  {
    MutexLock lock(mutex_);
    if (read_closed_) {
      return;
    }
    read_closed_ = true;
    read_status_ = status;
    wake = ClaimWaker();
  }
  changed_.NotifyAll();
  if (wake) {
    wake();
  }
}

Status BodyPipe::WriteStatus() {
  MutexLock lock(mutex_);
  return write_status_;
}

size_t BodyPipe::Take(std::span<std::byte> out) {
  size_t taken_bytes = 0;
  while (taken_bytes < out.size() && !chunks_.empty()) {
    const Bytes& front = chunks_.front();
    const size_t size_bytes = std::min(out.size() - taken_bytes, front.size() - front_used_bytes_);
    std::copy_n(front.data() + front_used_bytes_, size_bytes, out.data() + taken_bytes);
    taken_bytes += size_bytes;
    front_used_bytes_ += size_bytes;
    if (front_used_bytes_ == front.size()) {
      chunks_.pop_front();
      front_used_bytes_ = 0;
    }
  }
  buffered_bytes_ -= taken_bytes;
  return taken_bytes;
}

void BodyPipe::Put(ByteSpan bytes) {
  if (!bytes.empty()) {
    chunks_.emplace_back(bytes.begin(), bytes.end());
    buffered_bytes_ += bytes.size();
  }
}

std::function<void()> BodyPipe::ClaimWaker() {
  return std::exchange(try_waits_, false) ? wake_ : nullptr;
}

}  // namespace starling::registry
