#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::erofs {

inline constexpr uint64_t kBlockBytes = 4096;

/// The format holds names that start with "user.", "trusted." or "security.", with at most 255
/// bytes after that, the two POSIX ACLs ("system.posix_acl_access", "system.posix_acl_default"),
/// and values of at most 65535 bytes.
struct XattrSpec {
  std::string_view name;  // full, such as "user.x" or "trusted.overlay.opaque"; unique in its inode
  ByteSpan value;
};

struct ChildSpec {
  std::string_view name;
  uint32_t inode = 0;  // number in the array of inodes
};

/// One inode to write. Views borrow from the caller until WriteImage returns.
struct InodeSpec {
  uint32_t mode = 0;  // with the file type
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 1;       // written as it is
  uint64_t size_bytes = 0;  // regular files; directories and symlinks compute their own
  int64_t modified_seconds = 0;
  uint32_t modified_nanoseconds = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint32_t parent = 0;              // directories: for ".."; the root is its own
  std::string_view symlink_target;  // 1 to 4095 bytes
  std::span<const XattrSpec> xattrs;
  std::span<const ChildSpec> children;  // strictly ascending by name, without "." and ".."
  /// Regular files: where the content starts on its data device, in bytes, a multiple of
  /// kBlockBytes.
  uint64_t data_address = 0;
  uint16_t data_device = 1;  // which of the devices, counted from 1
};

/// Writes an EROFS metadata image: extended inodes, sorted directories, inline xattrs; each file's
/// content is one extent of a data device, whose sizes are `data_device_bytes`.
/// inodes[0] is the root. A directory is named by its parent only; any other inode may be named
/// often (hard links). Inodes that nothing names are written too. Deterministic.
/// Errors: kInvalidArgument for a broken tree; kResourceExhausted when a field of the format
/// overflows: the message names the inode.
/// Source: Linux fs/erofs/erofs_fs.h. fsck.erofs and the kernel accept the result.
StatusOr<Bytes> WriteImage(std::span<const InodeSpec> inodes,
                           std::span<const uint64_t> data_device_bytes);
/// With one data device.
StatusOr<Bytes> WriteImage(std::span<const InodeSpec> inodes, uint64_t data_device_bytes);

}  // namespace starling::erofs
