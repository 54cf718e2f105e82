/// Compression into zstd frames. Source: RFC 8878.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "estargz/member_compressor.h"

namespace starling::estargz {

/// Makes one frame of each member. Keeps its working memory.
class ZstdCompressor : public MemberCompressor {
 public:
  /// zstd's level, 1 to 19. Higher ones need windows that decoders refuse unless told otherwise.
  explicit ZstdCompressor(int level);
  ~ZstdCompressor() override;

  size_t BoundBytes(size_t size_bytes) override;
  size_t CompressMember(ByteSpan bytes, std::span<std::byte> out) override;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// One frame of bytes that come bit by bit, of which only the compressed form is kept.
/// Threads: one call at a time.
class ZstdStream {
 public:
  /// As for ZstdCompressor.
  explicit ZstdStream(int level);
  ~ZstdStream();

  void Append(ByteSpan bytes);
  /// The whole frame. Call once, last.
  Bytes Finish();
  uint64_t decompressed_bytes() const { return decompressed_bytes_; }

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  Bytes frame_;
  uint64_t decompressed_bytes_ = 0;
};

}  // namespace starling::estargz
