#pragma once

#include <cstdint>

namespace starling::layer {

/// Told which chunks of one layer a reader asked for, whether they were held or not.
/// Threads: safe; called on the threads that serve the kernel, so it must neither block nor take a
/// lock that others hold for long.
class ReadObserver {
 public:
  virtual ~ReadObserver() = default;
  /// A read touched the chunks from `first_chunk` to `last_chunk`, which is one past.
  virtual void OnRead(uint32_t first_chunk, uint32_t last_chunk) noexcept = 0;
};

}  // namespace starling::layer
