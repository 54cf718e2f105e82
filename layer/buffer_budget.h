#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"

namespace starling::layer {

/// The memory for what readers wait for, of all layers of a process: from before its request is
/// sent until its bytes are decoded. What finds no room waits in a queue, not in memory and on no
/// thread.
///
/// A request begins while its host has less than what is free, and its layer less than what its
/// host has left of that, so that one whose answers do not come leaves room for others; or when its
/// host has nothing on the way. The oldest are asked first. So what is held is at most
/// `total_bytes` and one request more, and one for each further host.
///
/// Threads: safe. Callbacks run on the thread that makes room, or gives up, with no lock held.
class BufferBudget : public std::enable_shared_from_this<BufferBudget> {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Request {
    std::string host;
    const void* layer = nullptr;  // only compared
    uint64_t size_bytes = 0;
    TimePoint since;  // when its readers began to wait
  };

  /// Its end makes room.
  class Room {
   public:
    Room(std::shared_ptr<BufferBudget> budget, Request request)
        : budget_(std::move(budget)), request_(std::move(request)) {}
    ~Room() { budget_->Return(request_); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

   private:
    const std::shared_ptr<BufferBudget> budget_;
    const Request request_;
  };
  /// The room, or why it was given up. Must not block.
  using Ready = std::function<void(StatusOr<std::shared_ptr<Room>>)>;

  static std::shared_ptr<BufferBudget> Make(uint64_t total_bytes);

  /// Room, if it is there; else null, and `ready` is called once.
  std::shared_ptr<Room> Take(const Request& request, Ready ready);
  /// Fails with `error` what waits for `host` since `since` or longer: something that was sent at
  /// that time has failed so, and who waits here has had as much time. Of `layer` alone if not
  /// null.
  void GiveUp(const std::string& host, const void* layer, TimePoint since, const Status& error);
  /// Forgets what waits for the layer; nothing of it is called any more, but for what is being
  /// called now.
  void Forget(const void* layer);

  uint64_t held_bytes() const;
  size_t waiting() const;

 private:
  struct Host {
    uint64_t held_bytes = 0;
    std::map<const void*, uint64_t> held_by_layer;
  };
  struct Waiting {
    Request request;
    Ready ready;
    uint64_t number = 0;  // the older, the less
  };
  /// The oldest first. What waits for one layer of a host begins under one condition, so only the
  /// first is looked at.
  using Queue = std::list<Waiting>;

  explicit BufferBudget(uint64_t total_bytes) : total_bytes_(total_bytes) {}
  /// The rule of the class.
  bool MayBegin(const std::string& name, const void* layer) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(const Request& request) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Return(const Request& request);
  std::list<Waiting> Remove(const std::function<bool(const Request&)>& matches);
  std::list<Waiting> TakeNext() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve();

  const uint64_t total_bytes_;
  mutable Mutex mutex_;  // leaf
  uint64_t held_bytes_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Host> hosts_ GUARDED_BY(mutex_);  // that have something on the way
  /// None of them is empty.
  std::map<std::string, std::map<const void*, Queue>> waiting_ GUARDED_BY(mutex_);
  size_t waiting_count_ GUARDED_BY(mutex_) = 0;
  uint64_t next_number_ GUARDED_BY(mutex_) = 0;
  bool is_serving_ GUARDED_BY(mutex_) = false;
  bool serve_again_ GUARDED_BY(mutex_) = false;
};

}  // namespace starling::layer
