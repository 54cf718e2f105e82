/// std::shared_mutex with the annotations that clang's thread-safety analysis checks.
#pragma once

#include <absl/base/thread_annotations.h>

#include <shared_mutex>

namespace starling {

class LOCKABLE SharedMutex {
 private:
  friend class SharedMutexLock;
  friend class ExclusiveMutexLock;
  std::shared_mutex mutex_;
};

/// Held by many at once.
class SCOPED_LOCKABLE SharedMutexLock {
 public:
  explicit SharedMutexLock(SharedMutex& mutex) SHARED_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.mutex_.lock_shared();
  }
  ~SharedMutexLock() UNLOCK_FUNCTION() { mutex_.mutex_.unlock_shared(); }
  SharedMutexLock(const SharedMutexLock&) = delete;
  SharedMutexLock& operator=(const SharedMutexLock&) = delete;

 private:
  SharedMutex& mutex_;
};

/// Held by one alone.
class SCOPED_LOCKABLE ExclusiveMutexLock {
 public:
  explicit ExclusiveMutexLock(SharedMutex& mutex) EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.mutex_.lock();
  }
  ~ExclusiveMutexLock() UNLOCK_FUNCTION() { mutex_.mutex_.unlock(); }
  ExclusiveMutexLock(const ExclusiveMutexLock&) = delete;
  ExclusiveMutexLock& operator=(const ExclusiveMutexLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace starling
