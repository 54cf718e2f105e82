#pragma once

#include <filesystem>
#include <functional>

#include "base/file_system.h"
#include "base/status.h"

namespace starling::mount {

/// What the kernel can do with our images. OK, or why not.
struct ErofsSupport {
  /// Mount an index whose data device is a file of a FUSE mount of ours, below two overlays (a
  /// container in a container).
  Status over_fuse;
  /// Mount a stored layer itself in the place of such a mount.
  Status replacing;
};

/// Tries it: mounts a tiny image over `fuse_file` (a file that shows fuse::ProbeContent), reads it
/// through overlays, and puts another in its place. `directory` is on the file system that holds
/// the layers, and exists; what is made in it is gone again at the end.
ErofsSupport ProbeErofs(const std::filesystem::path& directory,
                        const std::filesystem::path& fuse_file, FileSystem& files);

using ErofsProbe =
    std::function<ErofsSupport(const std::filesystem::path& directory,
                               const std::filesystem::path& fuse_file, FileSystem& files)>;

}  // namespace starling::mount
