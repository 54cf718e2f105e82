#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "fuse/operations.h"

struct fuse_req;
struct fuse_session;

namespace starling::fuse {

/// An open /dev/fuse with libfuse's state of it: turns requests of the kernel into calls of
/// Operations. Deferred replies share its ownership. Threads: Process is safe; the rest one at a
/// time.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// read(2) of a request needs this much room. Source: fuse_dev_do_read in Linux.
  static constexpr size_t kReceiveBytes = (1 << 20) + (64 << 10);

  /// Takes `fd`; borrows `operations`.
  static StatusOr<std::shared_ptr<Connection>> Make(UniqueFd fd, const Operations& operations);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Reads the kernel's FUSE_INIT and answers it.
  Status Negotiate();
  /// Shows libfuse the FUSE_INIT that the first server got; the kernel hears no answer.
  Status Renegotiate(Bytes init_request);
  /// Asks for the requests that an earlier server took and never answered. Source:
  /// FUSE_NOTIFY_RESEND.
  void AskForUnanswered() const;
  /// Answers one request, or sees to it that it will be answered.
  void Process(std::span<std::byte> request) const;
  /// Tells the kernel that `name` is not in the root any more.
  void ForgetName(const std::string& name) const;
  /// A deferred answer, known to libfuse by its number while it is not given: the interrupt of its
  /// request may come at any time. Threads: safe.
  class WaitingReply;
  /// What libfuse calls when the kernel tells that the caller of a request has got a signal. Only
  /// one that kills it is an answer (EINTR): others must not make an error of a read.
  static void OnInterrupt(fuse_req* request, void* number) noexcept;

  /// From now on failures are no answers: a successor may do better.
  void LeaveFailures() { leaves_failures_.store(true); }
  bool leaves_failures() const { return leaves_failures_.load(std::memory_order_relaxed); }
  /// From now on answers are dropped: a successor gives them.
  void Abandon() { is_abandoned_.store(true); }

  const Operations& operations() const { return operations_; }
  int fd() const { return fd_; }
  const Bytes& init_request() const { return init_request_; }

 private:
  Connection(int fd, const Operations& operations) : fd_(fd), operations_(operations) {}
  static ssize_t Write(int fd, iovec* parts, int count, void* connection) noexcept;
  static ssize_t WriteInitAnswer(int fd, ByteSpan request, std::span<const iovec> parts);

  const int fd_;
  const Operations& operations_;
  fuse_session* session_ = nullptr;  // owns fd_
  Bytes init_request_;
  std::atomic<bool> is_abandoned_ = false;
  std::atomic<bool> is_negotiating_ = false;
  std::atomic<bool> leaves_failures_ = false;
  std::atomic<bool> is_replaying_ = false;
  Mutex waiting_mutex_;  // leaf
  uintptr_t next_waiting_ GUARDED_BY(waiting_mutex_) = 1;
  std::map<uintptr_t, std::weak_ptr<WaitingReply>> waiting_ GUARDED_BY(waiting_mutex_);
};

}  // namespace starling::fuse
