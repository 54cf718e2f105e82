#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/status.h"
#include "oci/descriptor.h"
#include "oci/digest.h"

namespace starling::dockerfile::build {

enum class Compression { kEstargz, kZstdChunked, kGzip, kZstd, kUncompressed };

/// How layers are stored.
struct LayerFormat {
  Compression compression = Compression::kEstargz;
  /// Of gzip or zstd; absent: the default of the writer.
  std::optional<int> level;
  size_t threads = 2;
  /// Paths of a lazy layer that are read before all others: their content comes first, with the
  /// landmark behind it. Those that the layer does not have are passed over.
  std::vector<std::string> read_first;
};

/// "estargz", "zstdchunked" (or "zstd:chunked"), "gzip", "zstd", "uncompressed".
/// Errors: kInvalidArgument names them.
StatusOr<Compression> ParseCompression(std::string_view text);
std::string_view NameOf(Compression compression);

struct WrittenBlob {
  /// With the annotations that readers of the format look for.
  oci::Descriptor descriptor;
  oci::Digest diff_id;
};

/// Writes the layer's `tar` as a blob, and describes it with an OCI media type. The bytes depend on
/// the tar and the format only, not on the number of threads. Errors: those of the streams, and of
/// estargz::WriteLayer.
StatusOr<WrittenBlob> WriteBlob(ByteSource& tar, ByteSink& blob, const LayerFormat& format);

}  // namespace starling::dockerfile::build
