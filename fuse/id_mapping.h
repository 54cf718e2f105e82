#pragma once

#include <span>

#include "base/bytes.h"

namespace starling::fuse {

/// Completes `answer` (with its header) to the FUSE_INIT `request`: mounts of the file system may
/// have their IDs mapped, if the kernel offers it. The mount must have `default_permissions`, or
/// the kernel gives the connection up. Leaves what is no success, or too short, as it is. Source:
/// FUSE_ALLOW_IDMAP in Linux fs/fuse/inode.c.
void AllowIdMapping(ByteSpan request, std::span<std::byte> answer);

}  // namespace starling::fuse
