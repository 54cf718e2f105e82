#include "erofs/image_reader.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "erofs/format.h"
#include "erofs/image_writer.h"

namespace starling::erofs {
namespace {

using format::Layout;
using format::Load;

// A cookie is the block of the next entry and its index there.
constexpr uint32_t kCookieIndexBits = 16;

Status Damaged(std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("the layer's index is damaged: {}", what));
}

/// A miss is an answer and a frequent one: it costs no message.
Status Absent() { return MakeError(StatusCode::kNotFound, {}); }

/// What a dirent calls `on_disk`; DT_UNKNOWN when it is no file type.
uint32_t DirentType(uint8_t on_disk) {
  for (const format::FileType& type : format::kFileTypes) {
    if (type.on_disk == on_disk) {
      return IFTODT(type.mode_type);
    }
  }
  return DT_UNKNOWN;
}

}  // namespace

struct ImageReader::Inode {
  Attributes attributes;  // without where the data is
  Layout layout = Layout::kFlatPlain;
  uint32_t layout_field = 0;  // start block, device number or chunk format
  uint64_t xattr_address = 0;
  uint64_t xattr_bytes = 0;

  uint32_t type() const { return attributes.mode & S_IFMT; }
  uint64_t tail_address() const { return xattr_address + xattr_bytes; }
};

struct ImageReader::Xattr {
  uint8_t index = 0;
  std::string_view suffix;
  ByteSpan value;
};

/// One block of a directory: entries, then their names.
class ImageReader::DirectoryBlock {
 public:
  static StatusOr<DirectoryBlock> Parse(ByteSpan bytes) {
    if (bytes.size() < format::kDirentBytes) {
      return Damaged("a directory block is too short");
    }
    const auto names_at = Load<uint16_t>(bytes, format::kDirentNameOffsetAt);
    if (names_at == 0 || names_at % format::kDirentBytes != 0 || names_at >= bytes.size()) {
      return Damaged("a directory block has an impossible number of entries");
    }
    return DirectoryBlock(bytes, names_at);
  }

  size_t count() const { return names_at_ / format::kDirentBytes; }
  Nid NidAt(size_t index) const { return Load<uint64_t>(bytes_, index * format::kDirentBytes); }
  uint8_t TypeAt(size_t index) const {
    return Load<uint8_t>(bytes_, index * format::kDirentBytes + format::kDirentTypeAt);
  }

  StatusOr<std::string_view> NameAt(size_t index) const {
    const size_t start = NameOffset(index);
    const bool last = index + 1 == count();
    size_t end = last ? bytes_.size() : NameOffset(index + 1);
    if (start < names_at_ || start >= end || end > bytes_.size()) {
      return Damaged("a directory entry's name is outside its block");
    }
    std::string_view name = AsText(bytes_.subspan(start, end - start));
    if (last) {
      name = name.substr(0, name.find('\0'));  // the rest of the block is zeros
    }
    if (name.empty() || name.size() > format::kMaxNameBytes) {
      return Damaged("a directory entry's name has an impossible length");
    }
    return name;
  }

 private:
  DirectoryBlock(ByteSpan bytes, size_t names_at) : bytes_(bytes), names_at_(names_at) {}
  size_t NameOffset(size_t index) const {
    return Load<uint16_t>(bytes_, index * format::kDirentBytes + format::kDirentNameOffsetAt);
  }

  ByteSpan bytes_;
  size_t names_at_;
};

StatusOr<ImageReader> ImageReader::Open(ByteSpan image, uint16_t devices) {
  namespace field = format::superblock;
  if (image.size() < kBlockBytes || image.size() % kBlockBytes != 0) {
    return Damaged(fmt::format("{} bytes are no image", image.size()));
  }
  const ByteSpan superblock = image.subspan(format::kSuperblockAddress, field::kBytes);
  if (Load<uint32_t>(superblock, field::kMagicAt) != format::kMagic) {
    return Damaged("it is no EROFS image");
  }
  if (Load<uint8_t>(superblock, field::kBlockBitsAt) != format::kBlockBits ||
      Load<uint32_t>(superblock, field::kMetaBlockAt) != 0 ||
      Load<uint32_t>(superblock, field::kFeatureIncompatAt) !=
          (format::kIncompatChunkedFile | format::kIncompatDeviceTable) ||
      Load<uint16_t>(superblock, field::kExtraDevicesAt) != devices || devices == 0 ||
      Load<uint16_t>(superblock, field::kDeviceSlotAt) != format::kDeviceSlot) {
    return Damaged("it is not one of ours");
  }
  if (Load<uint32_t>(superblock, field::kBlocksAt) != image.size() / kBlockBytes) {
    return Damaged(fmt::format("{} blocks in {} bytes",
                               Load<uint32_t>(superblock, field::kBlocksAt), image.size()));
  }
  if (format::DeviceSlotAddress(devices + uint64_t{1}) > image.size()) {
    return Damaged(fmt::format("{} devices in {} bytes", devices, image.size()));
  }
  ImageReader reader(image, devices);
  reader.inode_count_ = Load<uint64_t>(superblock, field::kInodesAt);
  if (reader.inode_count_ > image.size() / format::inode::kBytes) {
    return Damaged(fmt::format("{} inodes in {} bytes", reader.inode_count_, image.size()));
  }
  reader.root_ = Load<uint16_t>(superblock, field::kRootNidAt);
  const auto root = reader.LoadInode(reader.root_);
  if (!root.ok() || root->type() != S_IFDIR) {
    return Damaged("the root is not a directory");
  }
  return reader;
}

uint64_t ImageReader::data_device_bytes(uint16_t device) const {
  return Load<uint32_t>(image_, format::DeviceSlotAddress(device) + format::device::kBlocksAt) *
         kBlockBytes;
}

StatusOr<ByteSpan> ImageReader::Range(uint64_t address, uint64_t size_bytes) const {
  if (address > image_.size() || size_bytes > image_.size() - address) {
    return Damaged("something points beyond its end");
  }
  return image_.subspan(address, size_bytes);
}

StatusOr<ImageReader::Inode> ImageReader::LoadInode(Nid nid) const {
  namespace field = format::inode;
  if (nid >= image_.size() / format::kInodeSlotBytes) {
    return Damaged(fmt::format("inode {} is beyond its end", nid));
  }
  const uint64_t address = nid * format::kInodeSlotBytes;
  ASSIGN_OR_RETURN(const ByteSpan bytes, Range(address, field::kBytes));
  Inode inode;
  const auto layout_and_version = Load<uint16_t>(bytes, field::kFormatAt);
  const auto layouts = {Layout::kFlatPlain, Layout::kFlatInline, Layout::kChunkBased};
  const auto* const layout = std::find_if(layouts.begin(), layouts.end(), [&](Layout candidate) {
    return format::ExtendedInodeFormat(candidate) == layout_and_version;
  });
  if (layout == layouts.end()) {
    return Damaged(fmt::format("inode {} has an unknown format", nid));
  }
  inode.layout = *layout;
  inode.layout_field = Load<uint32_t>(bytes, field::kUnionAt);
  inode.attributes = {.mode = Load<uint16_t>(bytes, field::kModeAt),
                      .uid = Load<uint32_t>(bytes, field::kUidAt),
                      .gid = Load<uint32_t>(bytes, field::kGidAt),
                      .nlink = Load<uint32_t>(bytes, field::kNlinkAt),
                      .size_bytes = Load<uint64_t>(bytes, field::kSizeAt),
                      .modified_seconds = Load<int64_t>(bytes, field::kMtimeAt),
                      .modified_nanoseconds = Load<uint32_t>(bytes, field::kMtimeNanosecondsAt)};
  if (inode.type() == S_IFCHR || inode.type() == S_IFBLK) {
    inode.attributes.device_major = inode.layout_field >> 8 & 0xfff;
    inode.attributes.device_minor =
        (inode.layout_field & 0xff) | (inode.layout_field >> 12 & 0xfff00);
  }
  inode.xattr_address = address + field::kBytes;
  if (const uint64_t units = Load<uint16_t>(bytes, field::kXattrCountAt); units > 0) {
    inode.xattr_bytes = format::kXattrHeaderBytes + (units - 1) * 4;
  }
  return inode;
}

StatusOr<ImageReader::Inode> ImageReader::LoadDirectory(Nid nid) const {
  ASSIGN_OR_RETURN(Inode inode, LoadInode(nid));
  if (inode.type() != S_IFDIR) {
    return MakeError(StatusCode::kInvalidArgument, "not a directory");
  }
  // The image holds all of a directory, so its size also bounds every search.
  if (inode.attributes.size_bytes == 0 || inode.attributes.size_bytes > image_.size()) {
    return Damaged(fmt::format("directory {} has an impossible size", nid));
  }
  return inode;
}

StatusOr<Attributes> ImageReader::Stat(Nid nid) const {
  ASSIGN_OR_RETURN(const Inode inode, LoadInode(nid));
  Attributes attributes = inode.attributes;
  if (inode.type() == S_IFREG && attributes.size_bytes > 0) {
    ASSIGN_OR_RETURN(const Extent content, ContentOf(inode));
    attributes.data_device = content.device;
    attributes.data_address = content.address;
  }
  return attributes;
}

StatusOr<ImageReader::Extent> ImageReader::ContentOf(const Inode& inode) const {
  const uint64_t size_bytes = inode.attributes.size_bytes;
  // Checked first: it bounds the number of indexes below, none of which can be outside the image.
  if (format::ChunkCountFor(size_bytes) > image_.size() / format::kChunkIndexBytes) {
    return Damaged("a file is larger than its indexes");
  }
  const uint32_t chunk_bits = format::ChunkBitsFor(size_bytes);
  if (inode.layout != Layout::kChunkBased ||
      inode.layout_field != (chunk_bits | format::kChunkFormatIndexes)) {
    return Damaged("a file has an unknown layout");
  }
  const uint64_t chunk_count = format::ChunkCountFor(size_bytes);
  ASSIGN_OR_RETURN(const ByteSpan indexes,
                   Range(format::RoundUp(inode.tail_address(), format::kChunkIndexAlignment),
                         chunk_count * format::kChunkIndexBytes));
  const auto device = Load<uint16_t>(indexes, 2);
  const uint64_t first_block = Load<uint32_t>(indexes, 4);
  if (device == 0 || device > devices_) {
    return Damaged("a file is on a device that the image does not have");
  }
  for (uint64_t chunk = 0; chunk < chunk_count; ++chunk) {
    const ByteSpan index = indexes.subspan(chunk * format::kChunkIndexBytes);
    if (Load<uint16_t>(index, 0) != 0 || Load<uint16_t>(index, 2) != device ||
        Load<uint32_t>(index, 4) != first_block + (chunk << chunk_bits)) {
      return Damaged("a file's content is not one extent of the data device");
    }
  }
  const uint64_t device_bytes = data_device_bytes(device);
  if (size_bytes > device_bytes || first_block * kBlockBytes > device_bytes - size_bytes) {
    return Damaged("a file goes beyond its data device");
  }
  return Extent{.device = device, .address = first_block * kBlockBytes};
}

/// Block number `block` of a directory or symlink; shorter than a block at the content's end.
StatusOr<ByteSpan> ImageReader::FlatBlock(const Inode& inode, uint64_t block) const {
  const uint64_t size_bytes = inode.attributes.size_bytes;
  const uint64_t block_bytes = std::min(kBlockBytes, size_bytes - block * kBlockBytes);
  const bool last = (block + 1) * kBlockBytes >= size_bytes;
  if (inode.layout == Layout::kChunkBased) {
    return Damaged("a directory or symlink has an unknown layout");
  }
  if (inode.layout == Layout::kFlatInline && last) {
    return Range(inode.tail_address(), block_bytes);
  }
  return Range((inode.layout_field + block) * kBlockBytes, block_bytes);
}

StatusOr<ImageReader::DirectoryBlock> ImageReader::LoadDirectoryBlock(const Inode& directory,
                                                                      uint64_t block) const {
  ASSIGN_OR_RETURN(const ByteSpan bytes, FlatBlock(directory, block));
  return DirectoryBlock::Parse(bytes);
}

StatusOr<Nid> ImageReader::Lookup(Nid directory, std::string_view name) const {
  ASSIGN_OR_RETURN(const Inode inode, LoadDirectory(directory));
  // The last block whose first name is not greater than `name` is the only one that can hold it.
  uint64_t first_block = 0;
  uint64_t end_block = format::RoundUp(inode.attributes.size_bytes, kBlockBytes) / kBlockBytes;
  while (end_block - first_block > 1) {
    const uint64_t middle = first_block + (end_block - first_block) / 2;
    ASSIGN_OR_RETURN(const DirectoryBlock block, LoadDirectoryBlock(inode, middle));
    ASSIGN_OR_RETURN(const std::string_view first_name, block.NameAt(0));
    (first_name <= name ? first_block : end_block) = middle;
  }
  ASSIGN_OR_RETURN(const DirectoryBlock block, LoadDirectoryBlock(inode, first_block));
  size_t first = 0;
  size_t end = block.count();
  while (first < end) {
    const size_t middle = first + (end - first) / 2;
    ASSIGN_OR_RETURN(const std::string_view candidate, block.NameAt(middle));
    if (candidate == name) {
      return block.NidAt(middle);
    }
    if (candidate < name) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  return Absent();
}

StatusOr<std::string_view> ImageReader::ReadLink(Nid nid) const {
  ASSIGN_OR_RETURN(const Inode inode, LoadInode(nid));
  if (inode.type() != S_IFLNK) {
    return MakeError(StatusCode::kInvalidArgument, "not a symlink");
  }
  if (inode.attributes.size_bytes == 0 || inode.attributes.size_bytes > format::kMaxSymlinkBytes) {
    return Damaged(fmt::format("symlink {} has an impossible length", nid));
  }
  ASSIGN_OR_RETURN(const ByteSpan target, FlatBlock(inode, 0));
  if (AsText(target).find('\0') != std::string_view::npos) {
    return Damaged(fmt::format("symlink {} has a 0 in its target", nid));
  }
  return AsText(target);
}

Status ImageReader::ReadDirectory(Nid directory, uint64_t cookie,
                                  const std::function<bool(const DirectoryEntry&)>& visit) const {
  ASSIGN_OR_RETURN(const Inode inode, LoadDirectory(directory));
  const uint64_t blocks = format::RoundUp(inode.attributes.size_bytes, kBlockBytes) / kBlockBytes;
  uint64_t index = cookie & ((1U << kCookieIndexBits) - 1);
  for (uint64_t number = cookie >> kCookieIndexBits; number < blocks; ++number) {
    ASSIGN_OR_RETURN(const DirectoryBlock block, LoadDirectoryBlock(inode, number));
    for (; index < block.count(); ++index) {
      ASSIGN_OR_RETURN(const std::string_view name, block.NameAt(index));
      if (!visit({.name = name,
                  .nid = block.NidAt(index),
                  .file_type = DirentType(block.TypeAt(index)),
                  .next_cookie = number << kCookieIndexBits | (index + 1)})) {
        return OkStatus();
      }
    }
    index = 0;
  }
  return OkStatus();
}

template <typename Visit>
Status ImageReader::ForEachXattr(Nid nid, Visit visit) const {
  ASSIGN_OR_RETURN(const Inode inode, LoadInode(nid));
  if (inode.xattr_bytes == 0) {
    return OkStatus();
  }
  ASSIGN_OR_RETURN(ByteSpan left, Range(inode.xattr_address, inode.xattr_bytes));
  if (Load<uint8_t>(left, format::kXattrSharedCountAt) != 0) {
    return Damaged(fmt::format("inode {} has shared xattrs", nid));
  }
  left = left.subspan(format::kXattrHeaderBytes);
  while (!left.empty()) {
    // The area is a multiple of 4 bytes, so an entry's head is always inside.
    const size_t name_bytes = Load<uint8_t>(left, 0);
    const size_t value_bytes = Load<uint16_t>(left, 2);
    const size_t used_bytes = format::kXattrEntryBytes + name_bytes + value_bytes;
    if (used_bytes > left.size()) {
      return Damaged(fmt::format("inode {} has an xattr beyond its end", nid));
    }
    const Xattr xattr = {.index = Load<uint8_t>(left, 1),
                         .suffix = AsText(left.subspan(format::kXattrEntryBytes, name_bytes)),
                         .value = left.subspan(format::kXattrEntryBytes + name_bytes, value_bytes)};
    if (!visit(xattr)) {
      return OkStatus();
    }
    left = left.subspan(format::RoundUp(used_bytes, format::kXattrAlignment));
  }
  return OkStatus();
}

StatusOr<ByteSpan> ImageReader::GetXattr(Nid nid, std::string_view name) const {
  const auto wanted = format::SplitXattrName(name);
  if (!wanted) {
    return Absent();
  }
  StatusOr<ByteSpan> found = Absent();
  RETURN_IF_ERROR(ForEachXattr(nid, [&](const Xattr& xattr) {
    if (xattr.index != wanted->index || xattr.suffix != wanted->suffix) {
      return true;
    }
    found = xattr.value;
    return false;
  }));
  return found;
}

StatusOr<std::vector<std::string>> ImageReader::ListXattrs(Nid nid) const {
  std::vector<std::string> names;
  bool known = true;
  RETURN_IF_ERROR(ForEachXattr(nid, [&](const Xattr& xattr) {
    const auto* const prefix =
        std::find_if(format::kXattrPrefixes.begin(), format::kXattrPrefixes.end(),
                     [&](const auto& candidate) { return candidate.index == xattr.index; });
    known = prefix != format::kXattrPrefixes.end();
    if (known) {
      names.push_back(std::string(prefix->prefix) + std::string(xattr.suffix));
    }
    return known;
  }));
  if (!known) {
    return Damaged(fmt::format("inode {} has an xattr with an unknown prefix", nid));
  }
  return names;
}

}  // namespace starling::erofs
