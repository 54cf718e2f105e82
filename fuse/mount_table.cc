#include "fuse/mount_table.h"

#include <fstream>
#include <sstream>
#include <vector>

namespace starling::fuse {
namespace {

/// Space, tab, newline and backslash are written as three octal digits.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '\\' && i + 3 < text.size();
    if (!is_escape) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                    (text[i + 3] - '0')));
    i += 3;
  }
  return out;
}

/// Calls `visit` for every line.
template <typename Visit>
void ForEachLine(std::string_view mountinfo, Visit visit) {
  std::istringstream lines{std::string(mountinfo)};
  for (std::string text; std::getline(lines, text);) {
    std::istringstream words(text);
    std::string id;
    std::string parent;
    std::string root;
    std::string where;
    MountEntry entry;
    words >> id >> parent >> entry.device >> root >> where;
    entry.mount_point = Unescape(where);
    std::string word;
    while (words >> word && word != "-") {
    }
    std::string source;
    words >> entry.type >> source >> entry.options;
    visit(entry);
  }
}

StatusOr<std::string> ReadMountinfo() {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return MakeError(StatusCode::kInternal,
                     "/proc/self/mountinfo cannot be read; is /proc mounted?");
  }
  return text.str();
}

}  // namespace

std::optional<MountEntry> FindMount(std::string_view mountinfo,
                                    const std::filesystem::path& mount_point) {
  std::optional<MountEntry> found;
  ForEachLine(mountinfo, [&](const MountEntry& entry) {
    if (entry.mount_point == mount_point) {
      found = entry;  // later lines lie on top
    }
  });
  return found;
}

StatusOr<std::optional<MountEntry>> FindMount(const std::filesystem::path& mount_point) {
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadMountinfo());
  return FindMount(mountinfo, mount_point);
}

std::vector<MountEntry> EntriesBelow(std::string_view mountinfo,
                                     const std::filesystem::path& directory) {
  std::vector<MountEntry> found;
  const std::string prefix = directory.native() + "/";
  ForEachLine(mountinfo, [&](const MountEntry& entry) {
    if (entry.mount_point.native().starts_with(prefix)) {
      found.push_back(entry);
    }
  });
  return found;
}

StatusOr<std::vector<MountEntry>> EntriesBelow(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadMountinfo());
  return EntriesBelow(mountinfo, directory);
}

std::vector<std::filesystem::path> MountsBelow(std::string_view mountinfo,
                                               const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  for (MountEntry& entry : EntriesBelow(mountinfo, directory)) {
    found.push_back(std::move(entry.mount_point));
  }
  return found;
}

StatusOr<std::vector<std::filesystem::path>> MountsBelow(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadMountinfo());
  return MountsBelow(mountinfo, directory);
}

}  // namespace starling::fuse
