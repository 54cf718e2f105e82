#pragma once

#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace starling::snapshotter {

/// Lets one thread at a time do the work of a key. Threads: safe.
class KeyedGate {
 public:
  /// Held while the work is done.
  class Pass {
   public:
    Pass(KeyedGate& gate, std::string key) : gate_(gate), key_(std::move(key)) {}
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() { gate_.Leave(key_); }

   private:
    KeyedGate& gate_;
    const std::string key_;
  };

  /// Waits until nobody holds a pass for `key`.
  [[nodiscard]] Pass Enter(const std::string& key) {
    {
      MutexLock lock(mutex_);
      while (!inside_.insert(key).second) {
        left_.Wait(mutex_);
      }
    }
    return Pass(*this, key);
  }

 private:
  void Leave(const std::string& key) {
    MutexLock lock(mutex_);
    inside_.erase(key);
    left_.NotifyAll();
  }

  Mutex mutex_;  // leaf
  Condition left_;
  std::set<std::string> inside_ GUARDED_BY(mutex_);
};

}  // namespace starling::snapshotter
