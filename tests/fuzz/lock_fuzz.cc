// Property: a lock is refused, or written again it is the same lock.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/bytes.h"
#include "dockerfile/lock/lock.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace lock = starling::dockerfile::lock;
  const auto parsed = lock::ParseLock(std::as_bytes(std::span(data, size)));
  if (!parsed.ok()) {
    return 0;
  }
  const std::string written = lock::WriteLock(*parsed);
  const auto again = lock::ParseLock(starling::AsBytes(written));
  // Indented, a lock of nearly the largest size is too large.
  if (again.ok() ? *again != *parsed : written.size() <= lock::kMaxLockBytes) {
    std::abort();
  }
  return 0;
}
