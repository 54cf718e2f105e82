/// The part of the on-disk format of EROFS that our images use. All numbers are little-endian.
/// Source: Linux fs/erofs/erofs_fs.h.
#pragma once

#include <sys/stat.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace starling::erofs::format {

static_assert(std::endian::native == std::endian::little, "fields are copied as they are");

inline constexpr uint32_t kBlockBits = 12;
inline constexpr uint32_t kMagic = 0xE0F5E1E2;
inline constexpr uint32_t kCompatMtime = 0x2;
inline constexpr uint32_t kIncompatChunkedFile = 0x4;
inline constexpr uint32_t kIncompatDeviceTable = 0x8;

inline constexpr uint64_t kSuperblockAddress = 1024;
/// Offsets in the superblock.
namespace superblock {
inline constexpr size_t kMagicAt = 0;
inline constexpr size_t kFeatureCompatAt = 8;
inline constexpr size_t kBlockBitsAt = 12;
inline constexpr size_t kRootNidAt = 14;
inline constexpr size_t kInodesAt = 16;
inline constexpr size_t kBlocksAt = 36;
inline constexpr size_t kMetaBlockAt = 40;
inline constexpr size_t kFeatureIncompatAt = 80;
inline constexpr size_t kExtraDevicesAt = 86;
inline constexpr size_t kDeviceSlotAt = 88;
inline constexpr size_t kBytes = 128;
}  // namespace superblock

/// The device table has a slot for each device, right behind the superblock.
inline constexpr uint64_t kDeviceSlotBytes = 128;
inline constexpr uint16_t kDeviceSlot = 9;
static_assert(kDeviceSlot * kDeviceSlotBytes == kSuperblockAddress + superblock::kBytes);
/// Of the slot of device number `device`, counted from 1.
constexpr uint64_t DeviceSlotAddress(uint64_t device) {
  return (kDeviceSlot + device - 1) * kDeviceSlotBytes;
}
namespace device {
inline constexpr size_t kBlocksAt = 64;
inline constexpr size_t kMappedBlockAt = 68;
}  // namespace device
/// The root follows the device table, and its number has 16 bits, which reach 2 MiB.
inline constexpr size_t kMaxDevices = 16000;

inline constexpr uint64_t kInodeSlotBytes = 32;
/// Offsets in an extended inode.
namespace inode {
inline constexpr size_t kFormatAt = 0;
inline constexpr size_t kXattrCountAt = 2;
inline constexpr size_t kModeAt = 4;
inline constexpr size_t kSizeAt = 8;
inline constexpr size_t kUnionAt = 16;  // start block, device number or chunk format
inline constexpr size_t kNumberAt = 20;
inline constexpr size_t kUidAt = 24;
inline constexpr size_t kGidAt = 28;
inline constexpr size_t kMtimeAt = 32;
inline constexpr size_t kMtimeNanosecondsAt = 40;
inline constexpr size_t kNlinkAt = 44;
inline constexpr size_t kBytes = 64;
}  // namespace inode

enum class Layout : uint16_t { kFlatPlain = 0, kFlatInline = 2, kChunkBased = 4 };
constexpr uint16_t ExtendedInodeFormat(Layout layout) {
  return static_cast<uint16_t>(1 | static_cast<uint16_t>(layout) << 1);
}

inline constexpr uint64_t kChunkIndexBytes = 8;
inline constexpr uint64_t kChunkIndexAlignment = 8;
inline constexpr uint16_t kChunkFormatIndexes = 0x20;
inline constexpr uint32_t kMaxChunkBits = 31;
/// A block number of all ones means "no block".
inline constexpr uint64_t kNullBlock = 0xFFFFFFFF;

/// log2 of the blocks in a chunk: the smallest that covers the whole file, if one can.
constexpr uint32_t ChunkBitsFor(uint64_t size_bytes) {
  uint32_t bits = 0;
  while (bits < kMaxChunkBits && uint64_t{1} << (kBlockBits + bits) < size_bytes) {
    ++bits;
  }
  return bits;
}
constexpr uint64_t ChunkCountFor(uint64_t size_bytes) {
  const uint32_t shift = kBlockBits + ChunkBitsFor(size_bytes);
  return (size_bytes >> shift) + ((size_bytes & ((uint64_t{1} << shift) - 1)) != 0 ? 1 : 0);
}

inline constexpr size_t kDirentBytes = 12;
inline constexpr size_t kDirentNameOffsetAt = 8;
inline constexpr size_t kDirentTypeAt = 10;
inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxSymlinkBytes = 4095;  // PATH_MAX without its NUL

struct FileType {
  uint32_t mode_type;
  uint8_t on_disk;
};
inline constexpr std::array<FileType, 7> kFileTypes = {{{S_IFREG, 1},
                                                        {S_IFDIR, 2},
                                                        {S_IFCHR, 3},
                                                        {S_IFBLK, 4},
                                                        {S_IFIFO, 5},
                                                        {S_IFSOCK, 6},
                                                        {S_IFLNK, 7}}};

inline constexpr size_t kXattrHeaderBytes = 12;
inline constexpr size_t kXattrSharedCountAt = 4;
inline constexpr size_t kXattrEntryBytes = 4;
inline constexpr size_t kXattrAlignment = 4;

struct XattrPrefix {
  std::string_view prefix;
  uint8_t index;
  bool whole_name;  // the prefix is all there is
};
inline constexpr std::array<XattrPrefix, 5> kXattrPrefixes = {{
    {"user.", 1, false},
    {"system.posix_acl_access", 2, true},
    {"system.posix_acl_default", 3, true},
    {"trusted.", 4, false},
    {"security.", 6, false},
}};

struct XattrName {
  uint8_t index = 0;
  std::string_view suffix;
};
/// Nothing for a name that the format cannot hold.
constexpr std::optional<XattrName> SplitXattrName(std::string_view name) {
  for (const XattrPrefix& known : kXattrPrefixes) {
    if (name.starts_with(known.prefix) &&
        (name.size() == known.prefix.size()) == known.whole_name) {
      return XattrName{known.index, name.substr(known.prefix.size())};
    }
  }
  return std::nullopt;
}

constexpr uint64_t RoundUp(uint64_t value, uint64_t power_of_two) {
  return (value + power_of_two - 1) & ~(power_of_two - 1);
}

/// The caller has checked that the field is inside.
template <typename T>
T Load(ByteSpan bytes, uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T>
void Store(std::byte* bytes, uint64_t at, T value) {
  std::memcpy(bytes + at, &value, sizeof value);
}

}  // namespace starling::erofs::format
