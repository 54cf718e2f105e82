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
  uint64_t blob_offset = 0;   // of the gzip member or zstd frame that holds it
  uint64_t blob_size = 0;     // of that member, up to the next one; 0 for a hole
  uint64_t inner_offset = 0;  // in the member's decompressed bytes
  oci::Digest digest;         // of the chunk's bytes; may be empty for a hole only
  bool is_hole = false;       // all zeros: nothing needs to be read for it
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
/// every chunk with a digest. Chunks are in the order of the blob.
///
/// The tree equals what containerd unpacks from the layer's tar for overlayfs:
/// - A later entry replaces an earlier one of the same path, with everything below it; only a
///   directory over a directory keeps its children and takes the new attributes.
/// - A hardlink means the file that stands at its target when the link comes; when there is none
///   yet, the file that stands there in the end.
/// - Missing parents are made with mode 0755, owner 0 and time 0. So is the root: entries that name
///   it are ignored, as unpacking ignores them.
/// - Whiteouts (.wh.X) are character devices 0:0 called X, unless the layer has an X of its own;
///   .wh..wh..opq gives its directory the attribute trusted.overlay.opaque=y; other names that
///   start with .wh. do not show.
/// - Attributes trusted.overlay.* and user.overlay.* of the layer are dropped, since an image must
/// not
///   forge them, and so are those in namespaces that Linux does not have.
/// The landmarks and the TOC are hidden in the root, unlike in an unpacked layer.
/// Threads: immutable after Build.
class LayerTree {
 public:
  /// `payload_end` is the TOC's offset in the blob: where the last member ends.
  /// Errors: kDataLoss names the entry that breaks a rule; kResourceExhausted names the limit.
  static StatusOr<LayerTree> Build(Toc toc, uint64_t payload_end, const TocLimits& limits = {});

  static constexpr uint32_t kRoot = 0;
  const std::vector<Inode>& inodes() const { return inodes_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  /// Of the prefetch landmark's member, when the layer has one: [0, offset) is worth prefetching.
  /// Nothing when no_prefetch().
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
