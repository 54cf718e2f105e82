#pragma once

#include <filesystem>

#include "base/status.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// What `directory` and all below it occupy on the disk, as du counts: blocks, hard links once.
/// Follows no symlink and enters no other file system. What vanishes meanwhile does not count.
StatusOr<Usage> DiskUsage(const std::filesystem::path& directory);

}  // namespace starling::snapshotter
