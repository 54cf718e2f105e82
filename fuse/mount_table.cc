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

}  // namespace

std::optional<MountEntry> FindMount(std::string_view mountinfo,
                                    const std::filesystem::path& mount_point) {
  std::optional<MountEntry> found;
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    std::string where;
    words >> id >> parent >> device >> root >> where;
    if (Unescape(where) != mount_point.native()) {
      continue;
    }
    std::string word;
    while (words >> word && word != "-") {
    }
    std::string type;
    words >> type;
    found = MountEntry{.device = device, .type = type};  // later lines lie on top
  }
  return found;
}

StatusOr<std::optional<MountEntry>> FindMount(const std::filesystem::path& mount_point) {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return MakeError(StatusCode::kInternal,
                     "/proc/self/mountinfo cannot be read; is /proc mounted?");
  }
  return FindMount(text.str(), mount_point);
}

}  // namespace starling::fuse
