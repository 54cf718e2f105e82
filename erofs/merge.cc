#include "erofs/merge.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "erofs/format.h"
#include "erofs/image_writer.h"

namespace starling::erofs {
namespace {

constexpr std::string_view kOverlayXattrs = "trusted.overlay.";
constexpr std::string_view kOpaque = "trusted.overlay.opaque";
constexpr std::string_view kIsOpaque = "y";

/// An inode of one of the layers.
struct Source {
  uint32_t layer = 0;
  Nid nid = 0;

  friend auto operator<=>(const Source&, const Source&) = default;
};

bool IsWhiteout(const Attributes& attributes) {
  return S_ISCHR(attributes.mode) && attributes.device_major == 0 && attributes.device_minor == 0;
}

Status TooLarge() {
  return MakeError(StatusCode::kDataLoss,
                   "the layers' indexes have more in them than they have room for");
}

Status NeedsOverlay(std::string_view xattr) {
  return MakeError(StatusCode::kUnimplemented,
                   fmt::format("a layer has the xattr {}, which needs an overlay", xattr));
}

class Merger {
 public:
  explicit Merger(std::span<const ImageReader> layers) : layers_(layers) {
    for (const ImageReader& layer : layers) {
      inodes_allowed_ += layer.inode_count();
      names_allowed_ += layer.size_bytes() / (format::kDirentBytes + 1);
    }
  }

  StatusOr<Bytes> Merge();

 private:
  /// A directory of the result whose entries are not known yet, with what is united in it, topmost
  /// first.
  struct Directory {
    uint32_t inode = 0;
    std::vector<Source> sources;
  };
  struct Entry {
    std::string_view name;
    Source source;
  };
  /// A part of children_ or xattrs_, which still grow.
  struct Extent {
    size_t first = 0;
    size_t count = 0;
  };

  const ImageReader& ReaderOf(const Source& source) const { return layers_[source.layer]; }
  Status MergeDirectory(const Directory& directory);
  Status ReadEntries(const Directory& directory);
  Status MergeEntry(uint32_t parent, std::span<const Entry> candidates);
  StatusOr<uint32_t> AddFile(const Source& source, const Attributes& attributes);
  StatusOr<uint32_t> AddInode(const Source& source, const Attributes& attributes);
  Status AddXattrs(const Source& source);
  StatusOr<bool> IsOpaque(const Source& directory) const;

  const std::span<const ImageReader> layers_;
  uint64_t inodes_allowed_ = 0;
  uint64_t names_allowed_ = 0;

  std::vector<InodeSpec> inodes_;
  std::vector<Extent> children_of_;  // of each inode
  std::vector<Extent> xattrs_of_;
  std::vector<ChildSpec> children_;
  std::vector<XattrSpec> xattrs_;
  std::set<std::string, std::less<>> xattr_names_;  // that xattrs_ borrows
  std::map<Source, uint32_t> linked_;               // files with several names
  std::vector<Directory> open_;
  std::vector<Entry> entries_;  // of the directory at hand
};

StatusOr<Bytes> Merger::Merge() {
  Directory root;
  for (size_t above = layers_.size(); above > 0; --above) {
    const auto layer = static_cast<uint32_t>(above - 1);
    root.sources.push_back({.layer = layer, .nid = layers_[layer].root()});
    // An opaque root hides nothing: overlayfs does not look there.
    RETURN_IF_ERROR(IsOpaque(root.sources.back()).status());
  }
  ASSIGN_OR_RETURN(const Attributes attributes, layers_.back().Stat(layers_.back().root()));
  ASSIGN_OR_RETURN(root.inode, AddInode(root.sources.front(), attributes));
  inodes_[root.inode].nlink = 2;
  open_.push_back(std::move(root));
  while (!open_.empty()) {
    const Directory directory = std::move(open_.back());
    open_.pop_back();
    const auto before = static_cast<std::ptrdiff_t>(open_.size());
    RETURN_IF_ERROR(MergeDirectory(directory));
    // Its first directory next: inodes lie in the order in which a tree is walked.
    std::reverse(open_.begin() + before, open_.end());
  }
  for (size_t number = 0; number < inodes_.size(); ++number) {
    const Extent& children = children_of_[number];
    const Extent& xattrs = xattrs_of_[number];
    inodes_[number].children = std::span(children_).subspan(children.first, children.count);
    inodes_[number].xattrs = std::span(xattrs_).subspan(xattrs.first, xattrs.count);
  }
  std::vector<uint64_t> device_bytes;
  for (const ImageReader& layer : layers_) {
    device_bytes.push_back(layer.data_device_bytes());
  }
  return WriteImage(inodes_, device_bytes);
}

Status Merger::MergeDirectory(const Directory& directory) {
  RETURN_IF_ERROR(ReadEntries(directory));
  children_of_[directory.inode].first = children_.size();
  const std::span<const Entry> entries(entries_);
  for (size_t first = 0; first < entries.size();) {
    size_t end = first + 1;
    while (end < entries.size() && entries[end].name == entries[first].name) {
      ++end;
    }
    RETURN_IF_ERROR(MergeEntry(directory.inode, entries.subspan(first, end - first)));
    first = end;
  }
  children_of_[directory.inode].count = children_.size() - children_of_[directory.inode].first;
  return OkStatus();
}

/// Into entries_: by name, and the topmost of one name first.
Status Merger::ReadEntries(const Directory& directory) {
  entries_.clear();
  for (const Source& source : directory.sources) {
    bool allowed = true;
    RETURN_IF_ERROR(ReaderOf(source).ReadDirectory(
        source.nid, 0, [&](const ImageReader::DirectoryEntry& entry) {
          if (entry.name == "." || entry.name == "..") {
            return true;
          }
          // Each directory of a layer is read once at most, unless it is damaged.
          allowed = names_allowed_ > 0;
          if (allowed) {
            --names_allowed_;
            entries_.push_back(
                {.name = entry.name, .source = {.layer = source.layer, .nid = entry.nid}});
          }
          return allowed;
        }));
    if (!allowed) {
      return TooLarge();
    }
  }
  if (directory.sources.size() > 1) {
    std::ranges::sort(entries_, [](const Entry& a, const Entry& b) {
      const int order = a.name.compare(b.name);
      return order != 0 ? order < 0 : a.source.layer > b.source.layer;
    });
  }
  return OkStatus();
}

/// Adds to `parent` what is to be seen of `candidates`, which have one name; the topmost is first.
Status Merger::MergeEntry(uint32_t parent, std::span<const Entry> candidates) {
  const Entry& top = candidates.front();
  ASSIGN_OR_RETURN(const Attributes attributes, ReaderOf(top.source).Stat(top.source.nid));
  if (IsWhiteout(attributes)) {
    return OkStatus();
  }
  if (!S_ISDIR(attributes.mode)) {
    ASSIGN_OR_RETURN(const uint32_t number, AddFile(top.source, attributes));
    children_.push_back({.name = top.name, .inode = number});
    return OkStatus();
  }
  Directory united;
  for (const Entry& candidate : candidates) {
    ASSIGN_OR_RETURN(const Attributes below, ReaderOf(candidate.source).Stat(candidate.source.nid));
    if (!S_ISDIR(below.mode)) {
      break;  // it hides what is further below, and is hidden itself
    }
    united.sources.push_back(candidate.source);
    ASSIGN_OR_RETURN(const bool opaque, IsOpaque(candidate.source));
    if (opaque) {
      break;
    }
  }
  ASSIGN_OR_RETURN(united.inode, AddInode(top.source, attributes));
  inodes_[united.inode].nlink = 2;
  inodes_[united.inode].parent = parent;
  ++inodes_[parent].nlink;
  children_.push_back({.name = top.name, .inode = united.inode});
  open_.push_back(std::move(united));
  return OkStatus();
}

/// One more name of a file.
StatusOr<uint32_t> Merger::AddFile(const Source& source, const Attributes& attributes) {
  if (attributes.nlink <= 1) {
    return AddInode(source, attributes);
  }
  if (const auto known = linked_.find(source); known != linked_.end()) {
    ++inodes_[known->second].nlink;
    return known->second;
  }
  ASSIGN_OR_RETURN(const uint32_t number, AddInode(source, attributes));
  linked_.emplace(source, number);
  return number;
}

StatusOr<uint32_t> Merger::AddInode(const Source& source, const Attributes& attributes) {
  if (inodes_.size() >= inodes_allowed_ ||
      inodes_.size() >= std::numeric_limits<uint32_t>::max() - 1) {
    return TooLarge();
  }
  InodeSpec inode = {.mode = attributes.mode,
                     .uid = attributes.uid,
                     .gid = attributes.gid,
                     .nlink = 1,
                     .modified_seconds = attributes.modified_seconds,
                     .modified_nanoseconds = attributes.modified_nanoseconds,
                     .device_major = attributes.device_major,
                     .device_minor = attributes.device_minor};
  if (S_ISREG(attributes.mode)) {
    inode.size_bytes = attributes.size_bytes;
    inode.data_address = attributes.data_address;
    inode.data_device = static_cast<uint16_t>(source.layer + 1);
  } else if (S_ISLNK(attributes.mode)) {
    ASSIGN_OR_RETURN(inode.symlink_target, ReaderOf(source).ReadLink(source.nid));
  }
  const size_t first_xattr = xattrs_.size();
  RETURN_IF_ERROR(AddXattrs(source));
  inodes_.push_back(inode);
  children_of_.emplace_back();
  xattrs_of_.push_back({.first = first_xattr, .count = xattrs_.size() - first_xattr});
  return static_cast<uint32_t>(inodes_.size() - 1);
}

Status Merger::AddXattrs(const Source& source) {
  const ImageReader& reader = ReaderOf(source);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, reader.ListXattrs(source.nid));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const ByteSpan value, reader.GetXattr(source.nid, name));
    if (name.starts_with(kOverlayXattrs)) {
      if (name == kOpaque && AsText(value) == kIsOpaque) {
        continue;
      }
      return NeedsOverlay(name);
    }
    xattrs_.push_back({.name = *xattr_names_.insert(name).first, .value = value});
  }
  return OkStatus();
}

StatusOr<bool> Merger::IsOpaque(const Source& directory) const {
  const ImageReader& reader = ReaderOf(directory);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, reader.ListXattrs(directory.nid));
  bool opaque = false;
  for (const std::string& name : names) {
    if (!name.starts_with(kOverlayXattrs)) {
      continue;
    }
    ASSIGN_OR_RETURN(const ByteSpan value, reader.GetXattr(directory.nid, name));
    if (name != kOpaque || AsText(value) != kIsOpaque) {
      return NeedsOverlay(name);
    }
    opaque = true;
  }
  return opaque;
}

}  // namespace

StatusOr<Bytes> MergeImages(std::span<const ImageReader> layers) {
  if (layers.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "no layers to merge");
  }
  if (layers.size() > format::kMaxDevices) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} layers are more than an image has devices", layers.size()));
  }
  return Merger(layers).Merge();
}

}  // namespace starling::erofs
