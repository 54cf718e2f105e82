#include "estargz/layer_tree.h"

#include <sys/stat.h>

#include <algorithm>

#include "estargz/chunk_map.h"
#include "estargz/path_tree.h"

namespace starling::estargz {
namespace {

// Source: OCI image specification, "Whiteouts", and AUFS' own names.
constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kWhiteoutMetaPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr uint32_t kImpliedMode = 0755;

/// Whether Linux, and an image, may have such an attribute.
bool IsKept(std::string_view name) {
  if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) {
    return false;
  }
  for (const std::string_view space : {"user.", "trusted.", "security."}) {
    if (name.starts_with(space)) {
      return name.size() > space.size();
    }
  }
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

/// The name that the whiteout `name` hides, or nothing when it hides none.
std::string_view HiddenBy(std::string_view name) {
  if (name.starts_with(kWhiteoutMetaPrefix)) {
    return {};
  }
  const std::string_view hidden = name.substr(kWhiteoutPrefix.size());
  return hidden == "." || hidden == ".." ? std::string_view() : hidden;
}

bool IsHiddenInRoot(std::string_view name) {
  return name == kTocName || name == kPrefetchLandmark || name == kNoPrefetchLandmark;
}

uint32_t FileType(EntryType type) {
  switch (type) {
    case EntryType::kDirectory:
      return S_IFDIR;
    case EntryType::kSymlink:
      return S_IFLNK;
    case EntryType::kCharacter:
      return S_IFCHR;
    case EntryType::kBlock:
      return S_IFBLK;
    case EntryType::kFifo:
      return S_IFIFO;
    case EntryType::kRegular:
    case EntryType::kHardlink:
    case EntryType::kChunk:
      break;
  }
  return S_IFREG;
}

/// The inode of an entry without its place in the tree and its chunks.
Inode InodeOf(const TocEntry& entry) {
  Inode inode{.mode = FileType(entry.type) | entry.mode,
              .uid = entry.uid,
              .gid = entry.gid,
              .modified_seconds = entry.modified_seconds};
  if (entry.type == EntryType::kSymlink) {
    inode.symlink_target = entry.link_name;
    inode.size_bytes = entry.link_name.size();
  } else if (entry.type == EntryType::kRegular) {
    inode.size_bytes = entry.size_bytes;
  } else if (entry.type == EntryType::kCharacter || entry.type == EntryType::kBlock) {
    inode.device_major = entry.device_major;
    inode.device_minor = entry.device_minor;
  }
  for (const TocXattr& xattr : entry.xattrs) {
    if (IsKept(xattr.name)) {
      inode.xattrs.push_back({.name = std::string(xattr.name), .value = xattr.value});
    }
  }
  return inode;
}

/// Numbers the reachable inodes, breadth first, and gives whiteouts their meaning.
class TreeBuilder {
 public:
  TreeBuilder(const std::vector<TocEntry>& entries, PathTree& paths, const ChunkMap& chunks)
      : entries_(entries), paths_(paths), chunks_(chunks), inode_of_(entries.size(), kNoEntry) {}

  Status Build() {
    inodes_.reserve(paths_.nodes().size() + 1);
    AddDirectory(PathTree::kRoot, 0);
    for (size_t i = 0; i < pending_.size(); ++i) {
      RETURN_IF_ERROR(FillDirectory(pending_[i].directory, pending_[i].inode));
    }
    return OkStatus();
  }

  std::vector<Inode>& inodes() { return inodes_; }
  /// The landmark's entry, or kNoEntry.
  uint32_t landmark() const { return landmark_; }
  bool no_prefetch() const { return no_prefetch_; }
  /// By entry: the inode it became, or kNoEntry when nothing reaches it.
  const std::vector<uint32_t>& inode_of() const { return inode_of_; }

 private:
  struct Pending {
    uint32_t directory = 0;
    uint32_t inode = 0;
  };
  struct Name {
    std::string_view name;
    uint32_t node = 0;
  };

  uint32_t AddDirectory(uint32_t directory, uint32_t parent) {
    const uint32_t entry = paths_.directories()[directory].entry;
    const auto number = static_cast<uint32_t>(inodes_.size());
    inodes_.push_back(entry == kNoEntry ? Inode{.mode = S_IFDIR | kImpliedMode}
                                        : InodeOf(entries_[entry]));
    inodes_.back().nlink = 2;
    inodes_.back().parent = parent;
    pending_.push_back({.directory = directory, .inode = number});
    return number;
  }

  uint32_t AddFile(uint32_t entry) {
    if (inode_of_[entry] == kNoEntry) {
      inode_of_[entry] = static_cast<uint32_t>(inodes_.size());
      inodes_.push_back(InodeOf(entries_[entry]));
    }
    ++inodes_[inode_of_[entry]].nlink;
    return inode_of_[entry];
  }

  /// As overlayfs wants it: nothing but the owner and the time come from the tar.
  uint32_t AddWhiteout(const PathTree::Node& node) {
    const uint32_t entry = node.kind == PathTree::Kind::kDirectory
                               ? paths_.directories()[node.index].entry
                               : node.index;
    Inode inode{.mode = S_IFCHR, .nlink = 1};
    if (entry != kNoEntry) {
      inode.uid = entries_[entry].uid;
      inode.gid = entries_[entry].gid;
      inode.modified_seconds = entries_[entry].modified_seconds;
    }
    inodes_.push_back(std::move(inode));
    return static_cast<uint32_t>(inodes_.size() - 1);
  }

  /// Sorts the names of `directory` into names_ and whiteouts_; true when it is opaque.
  bool ListNames(uint32_t directory) {
    bool opaque = false;
    names_.clear();
    whiteouts_.clear();
    for (uint32_t node = paths_.directories()[directory].first_child; node != PathTree::kNone;
         node = paths_.nodes()[node].next) {
      const std::string_view name = paths_.nodes()[node].name;
      if (name.starts_with(kWhiteoutPrefix)) {
        opaque = opaque || name == kOpaqueMarker;
        if (const std::string_view hidden = HiddenBy(name); !hidden.empty()) {
          whiteouts_.push_back({.name = hidden, .node = node});
        }
      } else if (directory == PathTree::kRoot && IsHiddenInRoot(name)) {
        NoteLandmark(paths_.nodes()[node]);
      } else {
        names_.push_back({.name = name, .node = node});
      }
    }
    std::ranges::sort(names_, {}, &Name::name);
    std::ranges::sort(whiteouts_, {}, &Name::name);
    return opaque;
  }

  void NoteLandmark(const PathTree::Node& node) {
    if (node.kind != PathTree::Kind::kFile) {
      return;
    }
    if (node.name == kNoPrefetchLandmark) {
      no_prefetch_ = true;
    } else if (node.name == kPrefetchLandmark && chunks_.files[node.index].count > 0) {
      landmark_ = node.index;
    }
  }

  Status FillDirectory(uint32_t directory, uint32_t number) {
    if (ListNames(directory)) {
      // Behind all that is kept: "trusted.overlay." is dropped from the layer, so it is unique.
      std::vector<Xattr>& xattrs = inodes_[number].xattrs;
      Xattr opaque{.name = "trusted.overlay.opaque", .value = ToBytes("y")};
      xattrs.insert(std::ranges::lower_bound(xattrs, opaque.name, {}, &Xattr::name),
                    std::move(opaque));
    }
    std::vector<Child> children;
    children.reserve(names_.size() + whiteouts_.size());
    auto whiteout = whiteouts_.begin();
    const auto add_whiteouts_before = [&](const std::string_view* name) {
      for (; whiteout != whiteouts_.end() && (name == nullptr || whiteout->name < *name);
           ++whiteout) {
        const uint32_t inode = AddWhiteout(paths_.nodes()[whiteout->node]);
        children.push_back({.name = std::string(whiteout->name), .inode = inode});
      }
    };
    for (const Name& name : names_) {
      add_whiteouts_before(&name.name);
      if (whiteout != whiteouts_.end() && whiteout->name == name.name) {
        ++whiteout;  // the layer's own file wins
      }
      RETURN_IF_ERROR(paths_.Resolve(name.node));
      const PathTree::Node& node = paths_.nodes()[name.node];
      uint32_t inode = 0;
      if (node.kind == PathTree::Kind::kDirectory) {
        inode = AddDirectory(node.index, number);
        ++inodes_[number].nlink;
      } else {
        inode = AddFile(node.index);
      }
      children.push_back({.name = std::string(name.name), .inode = inode});
    }
    add_whiteouts_before(nullptr);
    inodes_[number].children = std::move(children);
    return OkStatus();
  }

  const std::vector<TocEntry>& entries_;
  PathTree& paths_;
  const ChunkMap& chunks_;
  std::vector<uint32_t> inode_of_;
  std::vector<Inode> inodes_;
  std::vector<Pending> pending_;
  std::vector<Name> names_;
  std::vector<Name> whiteouts_;
  uint32_t landmark_ = kNoEntry;
  bool no_prefetch_ = false;
};

/// Hands each file its chunks and leaves out those of replaced and hidden files. The order stays.
std::vector<Chunk> AssignChunks(ChunkMap map, const std::vector<uint32_t>& inode_of,
                                std::vector<Inode>& inodes) {
  size_t kept = 0;
  for (size_t entry = 0; entry < map.files.size(); ++entry) {
    const ChunkMap::Range range = map.files[entry];
    if (range.count == 0 || inode_of[entry] == kNoEntry) {
      continue;
    }
    Inode& inode = inodes[inode_of[entry]];
    inode.first_chunk = static_cast<uint32_t>(kept);
    inode.chunk_count = range.count;
    for (uint32_t i = 0; i < range.count; ++i, ++kept) {
      map.chunks[kept] = map.chunks[range.first + i];
    }
  }
  map.chunks.resize(kept);
  return std::move(map.chunks);
}

}  // namespace

StatusOr<LayerTree> LayerTree::Build(Toc toc, uint64_t payload_end, const TocLimits& limits) {
  ASSIGN_OR_RETURN(ChunkMap chunks, MapChunks(toc.entries(), payload_end, limits));
  PathTree paths(toc.entries(), limits);
  RETURN_IF_ERROR(paths.AddAll());
  TreeBuilder builder(toc.entries(), paths, chunks);
  RETURN_IF_ERROR(builder.Build());

  LayerTree tree;
  tree.no_prefetch_ = builder.no_prefetch();
  if (builder.landmark() != kNoEntry && !tree.no_prefetch_) {
    tree.prefetch_end_ = chunks.chunks[chunks.files[builder.landmark()].first].blob_offset;
  }
  tree.inodes_ = std::move(builder.inodes());
  tree.chunks_ = AssignChunks(std::move(chunks), builder.inode_of(), tree.inodes_);
  tree.has_xattrs_ =
      std::ranges::any_of(tree.inodes_, [](const Inode& inode) { return !inode.xattrs.empty(); });
  return tree;
}

}  // namespace starling::estargz
