#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::build {

/// The mount points that a container's runtime makes in a step's tree where they are missing, and
/// that are no part of the layer. Made before the step runs; paths are resolved inside of the root,
/// however its links are laid.
class MountPoints {
 public:
  /// Looks at what there is of `targets`, absolute paths in `root`.
  static StatusOr<MountPoints> LookAt(const std::filesystem::path& root,
                                      const std::vector<std::string>& targets);
  /// While the step's files are still mounted: removes what was not there before and is empty, and
  /// gives the directories around it their times back. A step may keep what it has filled.
  Status RemoveFrom(const std::filesystem::path& root) const;
  /// When they are not any more: removes directories that overlayfs copied to `upper` for nothing.
  Status RemoveCopies(const std::filesystem::path& upper,
                      const std::vector<std::filesystem::path>& lower) const;

  /// Relative to the root, without links, outermost first.
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  /// A directory that gets an entry.
  struct Parent {
    std::string path;
    struct timespec accessed{};
    struct timespec modified{};
  };
  std::vector<std::string> missing_;
  std::vector<Parent> parents_;
};

}  // namespace starling::dockerfile::build
