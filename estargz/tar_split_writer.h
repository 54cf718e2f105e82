/// What containers/storage needs to put a layer's tar together again from its files.
#pragma once

#include <string>
#include <unordered_set>

#include "base/bytes.h"
#include "estargz/tar.h"
#include "estargz/zstd_compressor.h"
#include "oci/digest.h"

namespace starling::estargz {

/// CRC-64 of ISO 3309, as Go's hash/crc64 has it. `before` is that of the bytes before, 0 for none.
uint64_t Crc64(uint64_t before, ByteSpan bytes);

struct TarSplit {
  Bytes frame;  // compressed
  uint64_t decompressed_bytes = 0;
  oci::Digest digest;  // of the frame
};

/// Describes a tar, entry by entry, in lines of JSON: what is not content as it is, for each file
/// its name, size and CRC-64. Source: vbatts/tar-split, tar/storage and tar/asm.
///
/// Not every tar can be described. The reader refuses names that come twice or are no UTF-8, and
/// containers/storage a layer whose headers, as Go reads them, say anything but its TOC. Then there
/// is no tar-split at all, and readers take such a layer as an ordinary one.
class TarSplitWriter {
 public:
  explicit TarSplitWriter(int level) : stream_(level) {}

  /// `crc64` is of the content. Global headers, too: each is a reason for none.
  void Add(const TarEntry& entry, uint64_t crc64);
  /// `end` is what the tar has after the padding of the last entry. Nothing when the tar cannot be
  /// described. Call once, last.
  std::optional<TarSplit> Finish(ByteSpan end);

 private:
  bool CanDescribe(const TarEntry& entry);
  void AppendSegment(ByteSpan bytes);

  ZstdStream stream_;
  bool describable_ = true;
  std::unordered_set<std::string> names_;  // cleaned
  uint64_t padding_bytes_ = 0;             // behind the entry before
  uint64_t position_ = 0;
  std::string line_;
};

}  // namespace starling::estargz
