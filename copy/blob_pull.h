#pragma once

#include <functional>
#include <thread>

#include "base/byte_pipe.h"
#include "oci/image_store.h"

namespace starling::copy {

/// A blob of an image source as a stream to be pulled: a thread of its own reads ahead by a bounded
/// number of bytes. Borrows the source. Threads: one reads.
class BlobPull : public ByteSource {
 public:
  static constexpr size_t kReadAheadBytes = 1 << 20;

  BlobPull(oci::ImageSource& source, const oci::Descriptor& blob, uint64_t blob_offset);
  /// Waits until the source has noticed that nobody reads any more.
  ~BlobPull() override;
  StatusOr<size_t> Read(std::span<std::byte> out) override { return pipe_.Read(out); }

 private:
  BytePipe pipe_{kReadAheadBytes};
  std::thread thread_;  // last: it uses the pipe
};

}  // namespace starling::copy
