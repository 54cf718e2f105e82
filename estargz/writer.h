#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/status.h"
#include "estargz/footer.h"
#include "oci/digest.h"

namespace starling::estargz {

inline constexpr uint64_t kMinChunkBytes = 4 << 10;
inline constexpr uint64_t kMaxChunkBytes = 256 << 20;
/// Where large files are cut if nobody says otherwise.
inline constexpr uint64_t kDefaultChunkBytes = 4 << 20;
inline constexpr uint64_t kMaxSharedMemberBytes = 4 << 20;

enum class WriteFormat {
  kEstargz,
  /// zstd:chunked as stargz-snapshotter writes it: eStargz with zstd frames for members, and a TOC
  /// that is not part of the tar.
  kStargzZstd,
  /// zstd:chunked as podman, buildah and skopeo write it (containers/storage): a frame holds
  /// nothing but content, names are those of the tar, a tar-split proves what the tar was.
  kContainersZstd,
};

struct WriteOptions {
  WriteFormat format = WriteFormat::kEstargz;
  /// From kMinChunkBytes to kMaxChunkBytes.
  uint64_t chunk_size_bytes = kDefaultChunkBytes;
  /// Files that are cut otherwise: paths, and the size of their chunks, within the same bounds.
  /// Those that the layer does not have are ignored.
  std::map<std::string, uint64_t> chunk_size_bytes_of;
  /// Files share a member as long as it holds no more than this many bytes of tar, which makes
  /// layers of small files smaller. 0: each has its own, as every reader expects; shared members
  /// need one that knows "innerOffset", as stargz-snapshotter does for its
  /// --estargz-min-chunk-size. At most kMaxSharedMemberBytes; kContainersZstd has no such thing.
  uint64_t shared_member_bytes = 0;
  /// Up to MaxLevel; DefaultLevel when absent.
  std::optional<int> compression_level;
  /// That compress; one more hashes. Memory in flight is about 2 * threads + 2 chunks and their
  /// compressed form.
  size_t threads = 2;
  /// Paths whose content comes first, closed by the prefetch landmark; those that the layer does
  /// not have are ignored. Empty: the layer starts with the no-prefetch landmark.
  std::vector<std::string> prioritized_files;
  /// Where the uncompressed tar is kept while it is put in another order, which only prioritized
  /// files need. Empty: the system's directory for temporary files.
  std::filesystem::path spool_directory;
};

/// libdeflate's, or zstd's. The default of the former makes layers smaller than zlib's 9 in the
/// same members does, in a sixth of its time. Source: bench/convert_bench.cc on the image ml.
int DefaultLevel(WriteFormat format);
int MaxLevel(WriteFormat format);

struct WrittenLayer {
  WriteFormat format = WriteFormat::kEstargz;
  oci::Digest digest;       // of the blob
  uint64_t size_bytes = 0;  // of the blob
  oci::Digest diff_id;      // of its decompressed tar; that of eStargz includes the TOC
  uint64_t uncompressed_bytes = 0;
  oci::Digest toc_digest;  // of the JSON
  // zstd:chunked only:
  oci::Digest compressed_toc_digest;
  FramedPart toc;
  FramedPart tar_split;  // kContainersZstd; all zero when the tar cannot be described by one
};

/// Turns a layer in any form containerd accepts (tar, gzip or zstd of a tar; PAX, GNU and old
/// headers) into a lazy one. The bytes written depend on the input and the options, never on the
/// number of threads. Headers and content of the tar stay byte for byte; former landmarks, a former
/// TOC and, where files are prioritized, entries that a later one of the same name replaces are
/// dropped. Without prioritized files kContainersZstd has no landmark, which podman would show, and
/// ends as the tar does, if that is in at most 1 MiB of zeros: the diffID stays.
/// `layer` is read to its end, also behind the tar's. Both streams are used by the calling
/// thread only. After an error `blob` holds a part of a layer. Errors: kDataLoss names the entry at
/// which the tar breaks; kUnimplemented for sparse files and for compression other than gzip and
/// zstd; kResourceExhausted for a layer beyond TocLimits; kInvalidArgument for options; those of
/// the streams.
StatusOr<WrittenLayer> WriteLayer(ByteSource& layer, ByteSink& blob, const WriteOptions& options);

}  // namespace starling::estargz
