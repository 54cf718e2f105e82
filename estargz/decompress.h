#pragma once

#include <memory>

#include "base/io.h"
#include "base/status.h"
#include "estargz/gzip_indexer.h"

namespace starling::estargz {

/// True when a gzip member, a zstd frame or a skippable one begins here; 4 bytes are enough.
bool IsCompressed(ByteSpan bytes);

/// A layer's tar, whichever way it is compressed: gzip (any number of members, an eStargz among
/// them), zstd (any number of frames, skippable ones too) or not at all. Told by the first bytes,
/// because media types lie.
/// Errors: kDataLoss for a broken stream; kUnimplemented for bzip2 and xz.
/// Threads: one at a time.
class DecompressedTar : public ByteSource {
 public:
  /// What to do about the places from which a gzip layer can be inflated.
  enum class GzipPoints { kIgnore, kNote };

  /// Borrows `layer`.
  explicit DecompressedTar(ByteSource& layer, GzipPoints points = GzipPoints::kIgnore);
  ~DecompressedTar() override;
  StatusOr<size_t> Read(std::span<std::byte> out) override;

  /// Of a gzip layer whose points are noted, once something was read of it; else null.
  GzipIndexer* gzip_indexer() { return indexer_; }

 private:
  class Input;
  Status Detect();

  const GzipPoints points_;
  std::unique_ptr<Input> input_;
  std::unique_ptr<ByteSource> gzip_;  // as compressed, for the indexer
  std::unique_ptr<ByteSource> tar_;   // null until the first bytes are seen
  GzipIndexer* indexer_ = nullptr;    // `tar_`, if it is one
};

}  // namespace starling::estargz
