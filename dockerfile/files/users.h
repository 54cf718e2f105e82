/// Who is who in a tree: its own etc/passwd and etc/group.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::files {

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;

  friend bool operator==(const Owner&, const Owner&) = default;
};

/// What a process runs as.
struct UserRecord {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;

  friend bool operator==(const UserRecord&, const UserRecord&) = default;
};

/// Larger files are refused: they come with an image.
inline constexpr uint64_t kMaxAccountFileBytes = 16 << 20;

/// What USER says: "", "name", "1000", "name:group", "1000:1000". A number that has an entry takes
/// its group from there, else 0; additional groups are those that name the user, none when a group
/// is given. Errors: kNotFound for a name that the tree does not know, where BuildKit takes root.
StatusOr<UserRecord> FindUser(const std::filesystem::path& root, std::string_view text);

/// What --chown says: as above, but a number alone is the group's, too, and ":group" is root's.
StatusOr<Owner> FindOwner(const std::filesystem::path& root, std::string_view text);

}  // namespace starling::dockerfile::files
