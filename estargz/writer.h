#pragma once

#include <string>
#include <vector>

#include "base/io.h"
#include "base/status.h"
#include "oci/digest.h"

namespace starling::estargz {

struct WriteOptions {
  uint64_t chunk_size_bytes = 4 << 20;
  /// libdeflate's level, 1 to 12. 6 gives the size of gzip -9 at ten times its speed.
  int compression_level = 6;
  size_t threads = 2;
  /// Paths whose content comes first, closed by the prefetch landmark. Empty: the layer starts
  /// with the no-prefetch landmark.
  std::vector<std::string> prioritized_files;
};

struct WrittenLayer {
  oci::Digest digest;         // of the blob
  uint64_t size_bytes = 0;    // of the blob
  oci::Digest diff_id;        // of its decompressed tar, TOC entry included
  uint64_t uncompressed_bytes = 0;
  oci::Digest toc_digest;
};

/// Turns a layer in any form containerd accepts (tar, gzip or zstd of a tar; PAX, GNU and old headers)
/// into eStargz. The bytes written depend on the input and the options, never on the number of threads. Nothing of the tar is lost but global PAX headers' comments, landmarks and
/// a former TOC.
/// Errors: kDataLoss names the entry at which the tar breaks.
StatusOr<WrittenLayer> WriteLayer(ByteSource& layer, ByteSink& blob, const WriteOptions& options);

}  // namespace starling::estargz
