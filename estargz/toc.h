/// The table of contents (TOC) of an eStargz layer, as the registry sent it.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "oci/digest.h"

namespace starling::estargz {

inline constexpr std::string_view kTocName = "stargz.index.json";
inline constexpr std::string_view kPrefetchLandmark = ".prefetch.landmark";
inline constexpr std::string_view kNoPrefetchLandmark = ".no.prefetch.landmark";

/// What a hostile TOC may cost. More is refused with kResourceExhausted that names the limit.
struct TocLimits {
  uint64_t compressed_bytes = 64ULL << 20;
  uint64_t json_bytes = 512ULL << 20;
  uint64_t entries = 4'000'000;
  size_t name_bytes = 4096;
  size_t component_bytes = 255;
  size_t depth = 4096;
  size_t xattr_name_bytes = 255;
  size_t xattr_value_bytes = 64 << 10;
  size_t xattrs_per_inode = 256;
  uint64_t file_bytes = 1ULL << 44;
  uint64_t chunk_bytes = 1ULL << 30;  // a chunk is decompressed as a whole
  uint64_t layer_bytes = 1ULL << 46;  // of all files together
};

/// The JSON of a TOC with the digest over all of it. Moves only: `json` points into `storage`.
struct TocJson {
  TocJson() = default;
  TocJson(TocJson&&) = default;
  TocJson& operator=(TocJson&&) = default;
  TocJson(const TocJson&) = delete;
  TocJson& operator=(const TocJson&) = delete;

  ByteSpan json;
  oci::Digest digest;
  Bytes storage;  // around `json`; readable for some bytes behind it, as Toc::Parse needs
};

/// Unpacks the TOC's gzip member (`member` = the blob's bytes from the TOC offset to the footer): a
/// tar whose only entry is stargz.index.json. kDataLoss when it is anything else;
/// kResourceExhausted when it is larger than the limits.
StatusOr<TocJson> ExtractToc(ByteSpan member, const TocLimits& limits = {});

/// Unpacks the TOC of zstd:chunked: `frames` decompress to `json_bytes` of JSON and nothing else.
/// Errors as ExtractToc.
StatusOr<TocJson> ExtractZstdToc(ByteSpan frames, uint64_t json_bytes,
                                 const TocLimits& limits = {});

enum class EntryType {
  kDirectory,
  kRegular,
  kSymlink,
  kHardlink,
  kCharacter,
  kBlock,
  kFifo,
  kChunk
};

struct TocXattr {
  std::string_view name;
  Bytes value;
};

/// One entry with the meaning of the eStargz specification. Values are checked one by one;
/// what they mean together is checked by LayerTree. Texts borrow from the Toc.
///
/// JSON cannot carry a name that is not UTF-8: writers put U+FFFD in its place. Ours adds the bytes
/// as "nameBase64" and "linkNameBase64", which other readers ignore; they count here.
struct TocEntry {
  std::string_view name;  // as written
  EntryType type = EntryType::kRegular;
  uint32_t mode = 0;  // permission bits with setuid, setgid and sticky
  uint64_t size_bytes = 0;
  int64_t modified_seconds = 0;
  std::string_view link_name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t blob_offset = 0;
  uint64_t inner_offset = 0;
  uint64_t chunk_offset = 0;      // in the file
  uint64_t chunk_size_bytes = 0;  // 0: up to the end of the file
  bool is_zeros = false;          // the chunk is a hole; a "chunkType" of containers/storage
  std::vector<TocXattr> xattrs;   // sorted by name, unique
  oci::Digest digest;             // of the file; empty when absent
  oci::Digest chunk_digest;       // empty when absent
};

/// Threads: const calls are safe.
class Toc {
 public:
  /// Parses TOC JSON from an untrusted registry. Unknown keys are ignored, null counts as absent, a
  /// repeated key counts the last time. Errors name the entry's number: kDataLoss for a wrong type,
  /// an impossible value or bytes behind the document; kResourceExhausted for a limit.
  static StatusOr<Toc> Parse(ByteSpan json, const TocLimits& limits = {});
  /// The same without a copy of the JSON.
  static StatusOr<Toc> Parse(const TocJson& toc, const TocLimits& limits = {});
  const std::vector<TocEntry>& entries() const { return entries_; }
  /// Counts the chunks' inner offsets from the tar's start, as if the blob were one member;
  /// `tar_offset_of` says where in the tar the member at a blob offset begins.
  void JoinMembers(const std::function<uint64_t(uint64_t blob_offset)>& tar_offset_of);

 private:
  std::vector<TocEntry> entries_;        // in the order of the tar
  std::shared_ptr<const void> storage_;  // of the entries' texts
};

}  // namespace starling::estargz
