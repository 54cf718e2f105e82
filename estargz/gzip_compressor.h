#pragma once

#include <memory>

#include "base/bytes.h"
#include "estargz/member_compressor.h"

struct libdeflate_compressor;

namespace starling::estargz {

struct ReleaseCompressor {
  void operator()(libdeflate_compressor* compressor) const;
};
using DeflateCompressor = std::unique_ptr<libdeflate_compressor, ReleaseCompressor>;

/// Whether deflate would gain next to nothing from `bytes`, found without compressing them: each
/// stretch of 256 KiB has all byte values about equally often, and a piece from its middle does not
/// shrink. Random, encrypted and well compressed content is so. Content that hides what deflate
/// could use (repetition of such bytes at 16 to 32 KiB only) is taken for it, which costs space,
/// nothing else. False for less than 256 KiB: there is no time to win.
/// The answer depends on the bytes alone, never on the machine.
class IncompressibleProbe {
 public:
  IncompressibleProbe();
  bool Incompressible(ByteSpan bytes);

 private:
  bool Shrinks(ByteSpan sample);

  DeflateCompressor fastest_;
  std::unique_ptr<std::byte[]> scratch_;
};

/// Makes gzip members at one level; incompressible ones are stored. Keeps its working memory.
class GzipCompressor : public MemberCompressor {
 public:
  /// libdeflate's level, 1 to 12.
  explicit GzipCompressor(int level);

  size_t BoundBytes(size_t size_bytes) override;
  size_t CompressMember(ByteSpan bytes, std::span<std::byte> out) override;

 private:
  DeflateCompressor compressor_;
  DeflateCompressor store_;
  IncompressibleProbe probe_;
};

}  // namespace starling::estargz
