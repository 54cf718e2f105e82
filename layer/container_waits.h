#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "layer/slow_reads.h"

namespace starling::layer {

/// What the reads of one container waited.
struct ContainerStalls {
  std::string container;  // as its engine names it
  uint64_t reads = 0;
  uint64_t failed = 0;
  ReadTimes times;  // of all

  friend bool operator==(const ContainerStalls&, const ContainerStalls&) = default;
};

/// Counts reads that waited by the containers of those who read. To find out whose a thread is may
/// block (the kernel holds locks of its own for that), so it is done on an executor while the read
/// waits, and nobody waits for it. Threads: safe. Owned by shared_ptr only.
class ContainerWaits : public std::enable_shared_from_this<ContainerWaits> {
 public:
  /// Beyond it the one that waited longest ago is forgotten.
  static constexpr size_t kMaxContainers = 256;
  /// Questions under way; beyond it nobody is asked for.
  static constexpr size_t kMaxQuestions = 256;

  /// The container that a thread is in; empty: none, or unknown.
  using ContainerOf = std::function<std::string(pid_t thread)>;
  /// Borrows `executor`, which runs one task after the other, until Close.
  ContainerWaits(Executor& executor, ContainerOf container_of);

  /// Who waits; its container once it is known.
  class Asker {
   public:
    std::string container() const;

   private:
    friend class ContainerWaits;
    mutable Mutex mutex_;  // leaf
    std::string container_ GUARDED_BY(mutex_);
  };
  /// A read of `thread` (0: unknown) waits from now on. Never blocks. Null when nobody is asked
  /// for.
  std::shared_ptr<Asker> OnWaits(pid_t thread);
  /// It has waited. `asker` may be null.
  void OnWaited(const std::shared_ptr<Asker>& asker, const SlowRead& read);
  /// Longest together first.
  std::vector<ContainerStalls> List() const;
  /// Nothing is asked or counted any more. Idempotent.
  void Close();

 private:
  void Count(const std::string& container, bool failed, const ReadTimes& times);
  /// False when it is not to be run.
  bool Post(std::function<void()> task);

  const ContainerOf container_of_;
  mutable Mutex mutex_;                    // above the executor's
  Executor* executor_ GUARDED_BY(mutex_);  // null: closed
  size_t questions_ GUARDED_BY(mutex_) = 0;
  std::list<ContainerStalls> stalls_ GUARDED_BY(mutex_);  // who waited last is first
};

}  // namespace starling::layer
