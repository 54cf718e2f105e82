#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::fuse {

/// A line of mountinfo. Source: proc(5).
struct MountEntry {
  std::filesystem::path mount_point;
  std::string device;   // "major:minor"
  std::string type;     // such as "fuse.starling"
  std::string options;  // of the file system, separated by commas
};

/// The topmost mount at exactly `mount_point` in the text of a mountinfo file.
std::optional<MountEntry> FindMount(std::string_view mountinfo,
                                    const std::filesystem::path& mount_point);
/// The same in this process's mount namespace; no request is sent to any file system.
StatusOr<std::optional<MountEntry>> FindMount(const std::filesystem::path& mount_point);

/// The mounts below `directory` (itself not among them) in the text of a mountinfo file, in their
/// order: what covers another comes later. One that lies on top of another at the same place is
/// there twice.
std::vector<std::filesystem::path> MountsBelow(std::string_view mountinfo,
                                               const std::filesystem::path& directory);
/// The same in this process's mount namespace.
StatusOr<std::vector<std::filesystem::path>> MountsBelow(const std::filesystem::path& directory);

/// As MountsBelow, with all that the lines say.
std::vector<MountEntry> EntriesBelow(std::string_view mountinfo,
                                     const std::filesystem::path& directory);
StatusOr<std::vector<MountEntry>> EntriesBelow(const std::filesystem::path& directory);

}  // namespace starling::fuse
