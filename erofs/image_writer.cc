#include "erofs/image_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "erofs/format.h"

namespace starling::erofs {
namespace {

using format::Layout;
using format::Store;

uint32_t TypeOf(const InodeSpec& inode) { return inode.mode & S_IFMT; }

/// 0 for a mode that no file has.
uint8_t FileTypeOnDisk(uint32_t mode) {
  for (const format::FileType& type : format::kFileTypes) {
    if (type.mode_type == (mode & S_IFMT)) {
      return type.on_disk;
    }
  }
  return 0;
}

Status Broken(uint64_t inode, std::string_view what) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("inode {}: {}", inode, what));
}

Status Overflow(uint64_t inode, std::string_view what) {
  return MakeError(StatusCode::kResourceExhausted, fmt::format("inode {}: {}", inode, what));
}

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= format::kMaxNameBytes && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

/// The entries of a directory in byte order, with "." and "..".
class DirectoryRows {
 public:
  struct Row {
    std::string_view name;
    uint32_t inode;
  };

  DirectoryRows(const InodeSpec& directory, uint32_t self)
      : directory_(directory),
        self_(self),
        before_dot_(CountBefore(".")),
        before_dot_dot_(CountBefore("..")) {}

  size_t size() const { return directory_.children.size() + 2; }

  Row At(size_t row) const {
    if (row == before_dot_) {
      return {".", self_};
    }
    if (row == before_dot_dot_ + 1) {
      return {"..", directory_.parent};
    }
    const size_t dots = row < before_dot_ ? 0 : row <= before_dot_dot_ ? 1 : 2;
    const ChildSpec& child = directory_.children[row - dots];
    return {child.name, child.inode};
  }

  /// Calls `visit(first row, end row, bytes used)` for each block of the directory.
  template <typename Visit>
  void ForEachBlock(Visit visit) const {
    size_t first = 0;
    while (first < size()) {
      size_t used_bytes = 0;
      size_t end = first;
      while (end < size()) {
        const size_t row_bytes = format::kDirentBytes + At(end).name.size();
        if (used_bytes + row_bytes > kBlockBytes) {
          break;
        }
        used_bytes += row_bytes;
        ++end;
      }
      visit(first, end, used_bytes);
      first = end;
    }
  }

 private:
  size_t CountBefore(std::string_view name) const {
    const auto at = std::lower_bound(
        directory_.children.begin(), directory_.children.end(), name,
        [](const ChildSpec& child, std::string_view other) { return child.name < other; });
    return static_cast<size_t>(at - directory_.children.begin());
  }

  const InodeSpec& directory_;
  uint32_t self_;
  size_t before_dot_;
  size_t before_dot_dot_;
};

/// Where an inode goes in the image.
struct Placement {
  uint64_t address = 0;  // of the inode, in bytes from the image's start
  uint64_t size_bytes = 0;
  uint64_t first_block = 0;  // of its whole blocks, counted from the end of the inodes
  uint64_t block_count = 0;
  uint32_t xattr_bytes = 0;
  Layout layout = Layout::kFlatPlain;

  uint64_t nid() const { return address / format::kInodeSlotBytes; }
  uint64_t xattr_address() const { return address + format::inode::kBytes; }
  uint64_t tail_address() const { return xattr_address() + xattr_bytes; }
  uint64_t chunk_index_address() const {
    return format::RoundUp(tail_address(), format::kChunkIndexAlignment);
  }
};

Status CheckChildren(std::span<const InodeSpec> inodes, uint32_t number,
                     std::vector<bool>& named_directories) {
  std::string_view previous;
  for (const ChildSpec& child : inodes[number].children) {
    if (!IsName(child.name)) {
      return Broken(number, fmt::format("\"{}\" is not a file name", child.name));
    }
    if (child.name <= previous) {
      return Broken(number, fmt::format("\"{}\" is out of order or there twice", child.name));
    }
    previous = child.name;
    if (child.inode >= inodes.size()) {
      return Broken(number, fmt::format("\"{}\" names an inode that is not there", child.name));
    }
    const InodeSpec& target = inodes[child.inode];
    if (TypeOf(target) != S_IFDIR) {
      continue;
    }
    if (child.inode == 0 || target.parent != number || named_directories[child.inode]) {
      return Broken(number, fmt::format("directory \"{}\" has another name", child.name));
    }
    named_directories[child.inode] = true;
  }
  return OkStatus();
}

Status CheckDevice(const InodeSpec& inode, uint32_t number) {
  // The kernel's new encoding has 12 bits for the major and 20 for the minor number.
  if (inode.device_major >= 1U << 12 || inode.device_minor >= 1U << 20) {
    return Overflow(number, fmt::format("device number {}:{} is too large", inode.device_major,
                                        inode.device_minor));
  }
  return OkStatus();
}

Status CheckContent(const InodeSpec& inode, uint32_t number,
                    std::span<const uint64_t> data_device_bytes) {
  if (inode.size_bytes == 0) {
    return OkStatus();
  }
  if (inode.data_device == 0 || inode.data_device > data_device_bytes.size()) {
    return Broken(number, fmt::format("there is no data device {}", inode.data_device));
  }
  const uint64_t device_bytes = data_device_bytes[inode.data_device - 1U];
  if (inode.data_address % kBlockBytes != 0) {
    return Broken(number, "its content does not start at a block");
  }
  if (inode.data_address > device_bytes || inode.size_bytes > device_bytes - inode.data_address) {
    return Broken(number, "its content goes beyond the data device");
  }
  return OkStatus();
}

Status CheckInode(const InodeSpec& inode, uint32_t number,
                  std::span<const uint64_t> data_device_bytes) {
  if (inode.mode > std::numeric_limits<uint16_t>::max() || FileTypeOnDisk(inode.mode) == 0) {
    return Broken(number, fmt::format("mode {:o} has no file type", inode.mode));
  }
  if (inode.nlink == 0) {
    return Broken(number, "no links");
  }
  if (inode.modified_nanoseconds >= 1'000'000'000) {
    return Broken(number, "a second has 1000000000 nanoseconds");
  }
  switch (TypeOf(inode)) {
    case S_IFREG:
      return CheckContent(inode, number, data_device_bytes);
    case S_IFLNK:
      if (inode.symlink_target.empty() || inode.symlink_target.size() > format::kMaxSymlinkBytes ||
          inode.symlink_target.find('\0') != std::string_view::npos) {
        return Broken(number, "a symlink's target has 1 to 4095 bytes, none of them 0");
      }
      return OkStatus();
    case S_IFCHR:
    case S_IFBLK:
      return CheckDevice(inode, number);
    default:
      return OkStatus();
  }
}

StatusOr<uint32_t> XattrBytes(const InodeSpec& inode, uint32_t number) {
  if (inode.xattrs.empty()) {
    return 0;
  }
  uint64_t bytes = format::kXattrHeaderBytes;
  for (const XattrSpec& xattr : inode.xattrs) {
    const auto name = format::SplitXattrName(xattr.name);
    if (!name || name->suffix.find('\0') != std::string_view::npos) {
      return Broken(number, fmt::format("the format has no xattr \"{}\"", xattr.name));
    }
    if (name->suffix.size() > format::kMaxNameBytes ||
        xattr.value.size() > std::numeric_limits<uint16_t>::max()) {
      return Overflow(number, fmt::format("xattr \"{}\" is too large", xattr.name));
    }
    bytes += format::RoundUp(format::kXattrEntryBytes + name->suffix.size() + xattr.value.size(),
                             format::kXattrAlignment);
  }
  // The inode counts the 4-byte units behind the header, plus one, in 16 bits.
  if ((bytes - format::kXattrHeaderBytes) / 4 + 1 > std::numeric_limits<uint16_t>::max()) {
    return Overflow(number, fmt::format("{} bytes of xattrs are too many", bytes));
  }
  return static_cast<uint32_t>(bytes);
}

class ImageBuilder {
 public:
  ImageBuilder(std::span<const InodeSpec> inodes, std::span<const uint64_t> data_device_bytes)
      : inodes_(inodes),
        data_device_bytes_(data_device_bytes),
        next_address_(format::RoundUp(format::DeviceSlotAddress(data_device_bytes.size() + 1),
                                      kBlockBytes)) {}

  /// Decides where every inode and every block goes.
  Status Place();
  Bytes Write();

 private:
  Status PlaceInode(uint32_t number);
  void PlaceFlat(Placement& placement, uint64_t whole_blocks, uint64_t tail_bytes);
  void WriteSuperblock();
  void WriteDeviceTable();
  void WriteInode(uint32_t number);
  void WriteXattrs(const InodeSpec& inode, const Placement& placement);
  void WriteChunkIndexes(const InodeSpec& inode, const Placement& placement);
  void WriteSymlink(const InodeSpec& inode, const Placement& placement);
  void WriteDirectory(uint32_t number);
  void WriteDirectoryBlock(const DirectoryRows& rows, size_t first, size_t end, uint64_t address);
  uint64_t BlockAddress(const Placement& placement, uint64_t block) const {
    return (inode_blocks_ + placement.first_block + block) * kBlockBytes;
  }

  std::span<const InodeSpec> inodes_;
  std::span<const uint64_t> data_device_bytes_;
  std::vector<Placement> placements_;
  uint64_t next_address_;      // of an inode
  uint64_t inode_blocks_ = 0;  // superblock and inodes
  uint64_t whole_blocks_ = 0;  // behind them
  Bytes image_;
};

Status ImageBuilder::Place() {
  placements_.resize(inodes_.size());
  for (uint32_t number = 0; number < inodes_.size(); ++number) {
    RETURN_IF_ERROR(PlaceInode(number));
  }
  inode_blocks_ = format::RoundUp(next_address_, kBlockBytes) / kBlockBytes;
  if (inode_blocks_ + whole_blocks_ >= format::kNullBlock) {
    return MakeError(StatusCode::kResourceExhausted, "the image has too many blocks");
  }
  return OkStatus();
}

Status ImageBuilder::PlaceInode(uint32_t number) {
  const InodeSpec& inode = inodes_[number];
  Placement& placement = placements_[number];
  ASSIGN_OR_RETURN(placement.xattr_bytes, XattrBytes(inode, number));
  uint64_t end_bytes = format::inode::kBytes + placement.xattr_bytes;
  if (TypeOf(inode) == S_IFREG && inode.size_bytes > 0) {
    placement.layout = Layout::kChunkBased;
    placement.size_bytes = inode.size_bytes;
    end_bytes = format::RoundUp(end_bytes, format::kChunkIndexAlignment) +
                format::ChunkCountFor(inode.size_bytes) * format::kChunkIndexBytes;
  } else if (TypeOf(inode) == S_IFLNK) {
    PlaceFlat(placement, 0, inode.symlink_target.size());
  } else if (TypeOf(inode) == S_IFDIR) {
    uint64_t blocks = 0;
    uint64_t last_bytes = 0;
    DirectoryRows(inode, number).ForEachBlock([&](size_t, size_t, size_t used_bytes) {
      ++blocks;
      last_bytes = used_bytes;
    });
    PlaceFlat(placement, blocks - 1, last_bytes);
  }
  if (placement.layout == Layout::kFlatInline) {
    end_bytes += placement.size_bytes % kBlockBytes;
  }
  // An inline tail must not cross a block; keeping all small inodes whole spares a page as well.
  if (next_address_ % kBlockBytes + end_bytes > kBlockBytes) {
    next_address_ = format::RoundUp(next_address_, kBlockBytes);
  }
  placement.address = next_address_;
  next_address_ += format::RoundUp(end_bytes, format::kInodeSlotBytes);
  return OkStatus();
}

/// Content of `whole_blocks` blocks and a last one with `tail_bytes` (1 to kBlockBytes) used, which
/// follows the inode when both fit into one block.
void ImageBuilder::PlaceFlat(Placement& placement, uint64_t whole_blocks, uint64_t tail_bytes) {
  const bool fits = format::inode::kBytes + placement.xattr_bytes + tail_bytes <= kBlockBytes;
  placement.layout = fits ? Layout::kFlatInline : Layout::kFlatPlain;
  placement.size_bytes = whole_blocks * kBlockBytes + tail_bytes;
  placement.first_block = whole_blocks_;
  placement.block_count = whole_blocks + (fits ? 0 : 1);
  whole_blocks_ += placement.block_count;
}

Bytes ImageBuilder::Write() {
  image_.resize((inode_blocks_ + whole_blocks_) * kBlockBytes);
  WriteSuperblock();
  WriteDeviceTable();
  for (uint32_t number = 0; number < inodes_.size(); ++number) {
    WriteInode(number);
  }
  return std::move(image_);
}

void ImageBuilder::WriteSuperblock() {
  namespace field = format::superblock;
  const auto blocks = static_cast<uint32_t>(inode_blocks_ + whole_blocks_);
  std::byte* superblock = image_.data() + format::kSuperblockAddress;
  Store(superblock, field::kMagicAt, format::kMagic);
  Store(superblock, field::kFeatureCompatAt, format::kCompatMtime);
  Store(superblock, field::kBlockBitsAt, static_cast<uint8_t>(format::kBlockBits));
  Store(superblock, field::kRootNidAt, static_cast<uint16_t>(placements_[0].nid()));
  Store(superblock, field::kInodesAt, uint64_t{inodes_.size()});
  Store(superblock, field::kBlocksAt, blocks);
  Store(superblock, field::kMetaBlockAt, uint32_t{0});
  Store(superblock, field::kFeatureIncompatAt,
        format::kIncompatChunkedFile | format::kIncompatDeviceTable);
  Store(superblock, field::kExtraDevicesAt, static_cast<uint16_t>(data_device_bytes_.size()));
  Store(superblock, field::kDeviceSlotAt, format::kDeviceSlot);
}

void ImageBuilder::WriteDeviceTable() {
  // Only used where image and data are one file, one behind the other: 0 says "nowhere".
  uint64_t mapped_block = inode_blocks_ + whole_blocks_;
  for (size_t device = 1; device <= data_device_bytes_.size(); ++device) {
    const uint64_t blocks =
        format::RoundUp(data_device_bytes_[device - 1], kBlockBytes) / kBlockBytes;
    std::byte* slot = image_.data() + format::DeviceSlotAddress(device);
    Store(slot, format::device::kBlocksAt, static_cast<uint32_t>(blocks));
    if (mapped_block + blocks < format::kNullBlock) {
      Store(slot, format::device::kMappedBlockAt, static_cast<uint32_t>(mapped_block));
    }
    mapped_block += blocks;
  }
}

void ImageBuilder::WriteInode(uint32_t number) {
  namespace field = format::inode;
  const InodeSpec& inode = inodes_[number];
  const Placement& placement = placements_[number];
  std::byte* out = image_.data() + placement.address;
  const uint64_t xattr_units =
      placement.xattr_bytes == 0 ? 0 : (placement.xattr_bytes - format::kXattrHeaderBytes) / 4 + 1;
  Store(out, field::kFormatAt, format::ExtendedInodeFormat(placement.layout));
  Store(out, field::kXattrCountAt, static_cast<uint16_t>(xattr_units));
  Store(out, field::kModeAt, static_cast<uint16_t>(inode.mode));
  Store(out, field::kSizeAt, placement.size_bytes);
  Store(out, field::kNumberAt, number + 1);
  Store(out, field::kUidAt, inode.uid);
  Store(out, field::kGidAt, inode.gid);
  Store(out, field::kMtimeAt, inode.modified_seconds);
  Store(out, field::kMtimeNanosecondsAt, inode.modified_nanoseconds);
  Store(out, field::kNlinkAt, inode.nlink);
  WriteXattrs(inode, placement);
  switch (TypeOf(inode)) {
    case S_IFREG:
      WriteChunkIndexes(inode, placement);
      break;
    case S_IFLNK:
      WriteSymlink(inode, placement);
      break;
    case S_IFDIR:
      WriteDirectory(number);
      break;
    case S_IFCHR:
    case S_IFBLK:
      Store(out, field::kUnionAt,
            (inode.device_minor & 0xff) | inode.device_major << 8 |
                (inode.device_minor & ~0xffU) << 12);
      break;
    default:
      break;
  }
}

void ImageBuilder::WriteXattrs(const InodeSpec& inode, const Placement& placement) {
  uint64_t address = placement.xattr_address() + format::kXattrHeaderBytes;
  for (const XattrSpec& xattr : inode.xattrs) {
    const format::XattrName name = *format::SplitXattrName(xattr.name);
    std::byte* entry = image_.data() + address;
    Store(entry, 0, static_cast<uint8_t>(name.suffix.size()));
    Store(entry, 1, name.index);
    Store(entry, 2, static_cast<uint16_t>(xattr.value.size()));
    std::byte* end = std::ranges::copy(AsBytes(name.suffix), entry + format::kXattrEntryBytes).out;
    std::ranges::copy(xattr.value, end);
    address += format::RoundUp(format::kXattrEntryBytes + name.suffix.size() + xattr.value.size(),
                               format::kXattrAlignment);
  }
}

void ImageBuilder::WriteChunkIndexes(const InodeSpec& inode, const Placement& placement) {
  if (inode.size_bytes == 0) {
    return;
  }
  const uint32_t chunk_bits = format::ChunkBitsFor(inode.size_bytes);
  Store(image_.data() + placement.address, format::inode::kUnionAt,
        static_cast<uint32_t>(chunk_bits | format::kChunkFormatIndexes));
  for (uint64_t chunk = 0; chunk < format::ChunkCountFor(inode.size_bytes); ++chunk) {
    std::byte* index =
        image_.data() + placement.chunk_index_address() + chunk * format::kChunkIndexBytes;
    Store(index, 2, inode.data_device);
    Store(index, 4,
          static_cast<uint32_t>(inode.data_address / kBlockBytes + (chunk << chunk_bits)));
  }
}

void ImageBuilder::WriteSymlink(const InodeSpec& inode, const Placement& placement) {
  uint64_t address = placement.tail_address();
  if (placement.layout == Layout::kFlatPlain) {
    address = BlockAddress(placement, 0);
    Store(image_.data() + placement.address, format::inode::kUnionAt,
          static_cast<uint32_t>(address / kBlockBytes));
  }
  std::ranges::copy(AsBytes(inode.symlink_target), image_.data() + address);
}

void ImageBuilder::WriteDirectory(uint32_t number) {
  const Placement& placement = placements_[number];
  if (placement.block_count > 0) {
    Store(image_.data() + placement.address, format::inode::kUnionAt,
          static_cast<uint32_t>(BlockAddress(placement, 0) / kBlockBytes));
  }
  const DirectoryRows rows(inodes_[number], number);
  uint64_t block = 0;
  rows.ForEachBlock([&](size_t first, size_t end, size_t) {
    WriteDirectoryBlock(
        rows, first, end,
        block < placement.block_count ? BlockAddress(placement, block) : placement.tail_address());
    ++block;
  });
}

void ImageBuilder::WriteDirectoryBlock(const DirectoryRows& rows, size_t first, size_t end,
                                       uint64_t address) {
  std::byte* block = image_.data() + address;
  size_t name_offset = (end - first) * format::kDirentBytes;
  for (size_t row_number = first; row_number < end; ++row_number) {
    const DirectoryRows::Row row = rows.At(row_number);
    std::byte* entry = block + (row_number - first) * format::kDirentBytes;
    Store(entry, 0, placements_[row.inode].nid());
    Store(entry, format::kDirentNameOffsetAt, static_cast<uint16_t>(name_offset));
    Store(entry, format::kDirentTypeAt, FileTypeOnDisk(inodes_[row.inode].mode));
    std::ranges::copy(AsBytes(row.name), block + name_offset);
    name_offset += row.name.size();
  }
}

}  // namespace

StatusOr<Bytes> WriteImage(std::span<const InodeSpec> inodes,
                           std::span<const uint64_t> data_device_bytes) {
  if (inodes.empty() || TypeOf(inodes[0]) != S_IFDIR || inodes[0].parent != 0) {
    return Broken(0, "the root must be a directory and its own parent");
  }
  if (inodes.size() >= std::numeric_limits<uint32_t>::max()) {
    return MakeError(StatusCode::kResourceExhausted, "too many inodes");
  }
  if (data_device_bytes.empty() || data_device_bytes.size() > format::kMaxDevices) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} data devices, but an image has 1 to {}",
                                 data_device_bytes.size(), format::kMaxDevices));
  }
  for (const uint64_t device_bytes : data_device_bytes) {
    // Every block number of the device, and their count, must be less than kNullBlock.
    if (device_bytes > (format::kNullBlock - 1) * kBlockBytes) {
      return MakeError(
          StatusCode::kResourceExhausted,
          fmt::format("a data device of {} bytes is too large, at most 16 TiB", device_bytes));
    }
  }
  std::vector<bool> named_directories(inodes.size());
  for (uint32_t number = 0; number < inodes.size(); ++number) {
    const InodeSpec& inode = inodes[number];
    RETURN_IF_ERROR(CheckInode(inode, number, data_device_bytes));
    if (TypeOf(inode) == S_IFDIR) {
      if (inode.parent >= inodes.size() || TypeOf(inodes[inode.parent]) != S_IFDIR) {
        return Broken(number, "its parent is not a directory");
      }
      RETURN_IF_ERROR(CheckChildren(inodes, number, named_directories));
    }
  }
  ImageBuilder builder(inodes, data_device_bytes);
  RETURN_IF_ERROR(builder.Place());
  return builder.Write();
}

StatusOr<Bytes> WriteImage(std::span<const InodeSpec> inodes, uint64_t data_device_bytes) {
  return WriteImage(inodes, std::span(&data_device_bytes, 1));
}

}  // namespace starling::erofs
