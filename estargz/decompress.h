#pragma once

#include <memory>

#include "base/io.h"
#include "base/status.h"

namespace starling::estargz {

/// A layer's tar, whichever way it is compressed: gzip (any number of members, an eStargz among
/// them), zstd (any number of frames, skippable ones too) or not at all. Told by the first bytes,
/// because media types lie.
/// Errors: kDataLoss for a broken stream; kUnimplemented for bzip2 and xz.
/// Threads: one at a time.
class DecompressedTar : public ByteSource {
 public:
  /// Borrows `layer`.
  explicit DecompressedTar(ByteSource& layer);
  ~DecompressedTar() override;
  StatusOr<size_t> Read(std::span<std::byte> out) override;

 private:
  class Input;
  Status Detect();

  std::unique_ptr<Input> input_;
  std::unique_ptr<ByteSource> tar_;  // null until the first bytes are seen
};

}  // namespace starling::estargz
