#pragma once

#include <atomic>
#include <cstdint>

namespace starling::registry {

/// HTTP exchanges since the process began. Threads: safe, lock-free.
struct TransferCounters {
  // That ended, by the kind of their answer.
  std::atomic<uint64_t> succeeded = 0;   // 2xx
  std::atomic<uint64_t> redirected = 0;  // 3xx, and 1xx
  std::atomic<uint64_t> refused = 0;     // 4xx
  std::atomic<uint64_t> server_errors = 0;
  std::atomic<uint64_t> failed = 0;   // without an answer, or in the middle of one
  std::atomic<uint64_t> dropped = 0;  // by us, because nobody wanted the answer any more

  std::atomic<uint64_t> retries = 0;         // that were sent because an earlier one had failed
  std::atomic<uint64_t> received_bytes = 0;  // of bodies, whatever the answer

  void CountEnd(int http_status) {
    std::atomic<uint64_t>& kind = http_status < 200   ? redirected
                                  : http_status < 300 ? succeeded
                                  : http_status < 400 ? redirected
                                  : http_status < 500 ? refused
                                                      : server_errors;
    kind.fetch_add(1, std::memory_order_relaxed);
  }
};

}  // namespace starling::registry
