#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "estargz/tar.h"
#include "estargz/toc.h"
#include "oci/digest.h"

namespace starling::estargz {

/// Where a part of a file's content went.
struct PlacedChunk {
  uint64_t file_offset = 0;
  uint64_t size_bytes = 0;
  uint64_t blob_offset = 0;   // of its member
  uint64_t blob_end = 0;      // of its member
  uint64_t inner_offset = 0;  // in the member's decompressed bytes
  oci::Digest digest;
  bool is_zeros = false;
};

/// They differ in more than keys: containers/storage compares its TOC with the headers of the tar,
/// so that names, modes and times must be those.
enum class TocDialect { kStargz, kContainers };

/// Puts a TOC together, entry by entry in the order of the tar.
///
/// Names that are not UTF-8 cannot stand in JSON: `name` and `linkName` get U+FFFD in place of each
/// broken sequence, as the peer's writer does, and `nameBase64` and `linkNameBase64` carry the
/// bytes. A reader that does not know those keys shows the replaced name.
class TocWriter {
 public:
  explicit TocWriter(TocDialect dialect = TocDialect::kStargz) : dialect_(dialect) {}

  /// Everything but regular files with content.
  /// Errors, also of AddFile: kResourceExhausted for an entry that readers of ours refuse.
  Status AddEntry(const TarEntry& entry);
  /// A regular file; `chunks` cover its content in order, at least one. An empty `digest` is left
  /// out: those of the chunks say it all.
  Status AddFile(const TarEntry& entry, const oci::Digest& digest,
                 const std::vector<PlacedChunk>& chunks);
  /// The JSON. `tar_split` is the digest of that, empty for none. Call once, last.
  StatusOr<std::string> Finish(const oci::Digest& tar_split = {});

 private:
  Status BeginEntry(const TarEntry& entry, const std::string& name);
  void AppendOwner(const TarEntry& entry);
  void AppendTimes(const TarEntry& entry);
  StatusOr<std::string> NameOf(const TarEntry& entry) const;

  const TocDialect dialect_;
  TocLimits limits_;
  std::string json_ = R"({"version":1,"entries":[)";
  uint64_t entries_ = 0;
  // A name is written where it first appears or changes; readers fill in the others.
  std::unordered_map<uint32_t, std::string> user_names_;
  std::unordered_map<uint32_t, std::string> group_names_;
};

/// `name` as a path relative to the layer's root, without ".", ".." and repeated slashes; ".." at
/// the root stays there. Empty for the root itself.
std::string CleanName(std::string_view name);

}  // namespace starling::estargz
