#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::erofs {

/// An inode's number: its place in the metadata area, in 32-byte slots. Below 2^39.
using Nid = uint64_t;

struct Attributes {
  uint32_t mode = 0;  // with the file type
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;
  uint64_t size_bytes = 0;
  int64_t modified_seconds = 0;
  uint32_t modified_nanoseconds = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t data_address = 0;  // regular files: on their data device, in bytes
  uint16_t data_device = 1;   // which of the devices, counted from 1
};

/// Reads an image that WriteImage made, without copying or allocating. Every access is checked, so
/// a damaged image gives kDataLoss, never a bad read or an endless loop. (A damaged directory may
/// contain itself, though: whoever walks a tree bounds the depth.)
/// A Nid that is not an inode gives kDataLoss or the attributes of a nonsensical inode.
/// Threads: safe. Borrows the bytes.
class ImageReader {
 public:
  /// Checks superblock and root; the rest is checked when it is touched. An image with another
  /// number of data devices is refused: a layer's has one.
  static StatusOr<ImageReader> Open(ByteSpan image, uint16_t devices = 1);

  Nid root() const { return root_; }
  uint64_t inode_count() const { return inode_count_; }
  /// Of the image itself.
  uint64_t size_bytes() const { return image_.size(); }
  /// Rounded up to whole blocks. `device` is one that the image has, counted from 1.
  uint64_t data_device_bytes(uint16_t device = 1) const;

  /// For a regular file that has content, data_address + size_bytes is inside its data device,
  /// which the image has.
  StatusOr<Attributes> Stat(Nid nid) const;
  /// kNotFound, without a message, when there is no such name; kInvalidArgument when `directory` is
  /// none. Binary search; allocates nothing for either answer.
  StatusOr<Nid> Lookup(Nid directory, std::string_view name) const;
  /// Borrowed from the image. kInvalidArgument when it is no symlink.
  StatusOr<std::string_view> ReadLink(Nid nid) const;

  struct DirectoryEntry {
    std::string_view name;  // "." and ".." included; borrowed from the image
    Nid nid = 0;
    uint32_t file_type = 0;    // DT_REG, DT_DIR, ...
    uint64_t next_cookie = 0;  // continues after this entry; a pure function of the image
  };
  /// Calls `visit` for the entries from `cookie` (0 is the first) until it returns false. A cookie
  /// of another directory gives any entries, or none. kInvalidArgument when it is no directory.
  Status ReadDirectory(Nid directory, uint64_t cookie,
                       const std::function<bool(const DirectoryEntry&)>& visit) const;

  /// kNotFound, without a message, when the inode has no such xattr. Borrowed from the image.
  StatusOr<ByteSpan> GetXattr(Nid nid, std::string_view name) const;
  /// Full names, in the image's order.
  StatusOr<std::vector<std::string>> ListXattrs(Nid nid) const;

 private:
  struct Inode;
  struct Xattr;
  class DirectoryBlock;

  struct Extent {
    uint16_t device = 1;
    uint64_t address = 0;  // on the device, in bytes
  };

  ImageReader(ByteSpan image, uint16_t devices) : image_(image), devices_(devices) {}
  StatusOr<ByteSpan> Range(uint64_t address, uint64_t size_bytes) const;
  StatusOr<Inode> LoadInode(Nid nid) const;
  StatusOr<Inode> LoadDirectory(Nid nid) const;
  StatusOr<Extent> ContentOf(const Inode& inode) const;
  StatusOr<ByteSpan> FlatBlock(const Inode& inode, uint64_t block) const;
  StatusOr<DirectoryBlock> LoadDirectoryBlock(const Inode& directory, uint64_t block) const;
  /// Calls `visit` for each xattr until it returns false.
  template <typename Visit>
  Status ForEachXattr(Nid nid, Visit visit) const;

  ByteSpan image_;
  uint16_t devices_;
  Nid root_ = 0;
  uint64_t inode_count_ = 0;
};

}  // namespace starling::erofs
