/// A TOC as the file tree that overlayfs wants for one lower layer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "estargz/toc.h"

namespace starling::estargz {

struct Xattr {
  std::string name;
  Bytes value;
};

struct Child {
  std::string name;
  uint32_t inode = 0;  // number in LayerTree::inodes()
};

/// The bytes of a file from `file_offset`, and where they are stored.
struct Chunk {
  uint64_t file_offset = 0;
  uint64_t size_bytes = 0;
  uint64_t blob_offset = 0;   // of the gzip member that holds it
  uint64_t blob_size = 0;     // of that member, up to the next one
  uint64_t inner_offset = 0;  // in the member's decompressed bytes
  oci::Digest digest;         // of the chunk's bytes; never empty
};

struct Inode {
  uint32_t mode = 0;  // with the file type, as in st_mode
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;
  uint64_t size_bytes = 0;  // regular files: of the content; symlinks: of the target
  int64_t modified_seconds = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint32_t parent = 0;  // directories only; the root is its own parent
  std::string symlink_target;
  std::vector<Xattr> xattrs;    // sorted by name
  std::vector<Child> children;  // sorted by name (byte order), unique
  uint32_t first_chunk = 0;     // in LayerTree::chunks()
  uint32_t chunk_count = 0;     // contiguous from file offset 0 to the file's end
};

/// On success the tree is safe to mount: acyclic, every name a single component, every hardlink
/// resolved to a non-directory of this layer, every chunk inside its file and the blob's payload,
/// every chunk with a digest. Whiteouts are character devices 0:0, opaque directories have the
/// xattr trusted.overlay.opaque=y, no other overlay xattr of the layer survives, landmarks of the
/// root and the TOC itself are hidden. Threads: immutable after Build.
class LayerTree {
 public:
  /// `payload_end` is the TOC's offset in the blob: where the last member ends.
  /// kDataLoss names the entry that breaks a rule.
  static StatusOr<LayerTree> Build(Toc toc, uint64_t payload_end, const TocLimits& limits = {});

  static constexpr uint32_t kRoot = 0;
  const std::vector<Inode>& inodes() const { return inodes_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  /// Of the prefetch landmark's member, when the layer has one: [0, offset) is worth prefetching.
  const std::optional<uint64_t>& prefetch_end() const { return prefetch_end_; }
  bool no_prefetch() const { return no_prefetch_; }
  bool has_xattrs() const { return has_xattrs_; }

 private:
  std::vector<Inode> inodes_;
  std::vector<Chunk> chunks_;
  std::optional<uint64_t> prefetch_end_;
  bool no_prefetch_ = false;
  bool has_xattrs_ = false;
};

}  // namespace starling::estargz
