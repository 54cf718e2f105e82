#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::erofs {

inline constexpr uint64_t kBlockBytes = 4096;

struct XattrSpec {
  std::string_view name;  // full, such as "user.x" or "trusted.overlay.opaque"
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
  uint32_t nlink = 1;
  uint64_t size_bytes = 0;  // regular files and symlinks; directories compute their own
  int64_t modified_seconds = 0;
  uint32_t modified_nanoseconds = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint32_t parent = 0;  // directories: for ".."
  std::string_view symlink_target;
  std::span<const XattrSpec> xattrs;
  std::span<const ChildSpec> children;  // sorted by name, without "." and ".."
  /// Regular files: where the content starts on the data device, in bytes, a multiple of kBlockBytes.
  uint64_t data_address = 0;
};

/// Writes an EROFS metadata image: extended inodes, sorted directories, inline xattrs; each file's
/// content is one extent of device 1, the data device of `data_device_bytes` bytes.
/// inodes[0] is the root. Deterministic.
/// Errors: kInvalidArgument for a broken tree; kResourceExhausted when a field of the format overflows.
/// Source: Linux fs/erofs/erofs_fs.h. fsck.erofs and the kernel accept the result.
StatusOr<Bytes> WriteImage(std::span<const InodeSpec> inodes, uint64_t data_device_bytes);

}  // namespace starling::erofs
