#include "dockerfile/python/programs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::python {
namespace {

/// Where what `file` names lies, behind all links, relative to the root at `root_path`.
std::string PathBehindLinks(int file, const std::string& root_path) {
  std::array<char, PATH_MAX> link{};
  const ssize_t size =
      ::readlink(fmt::format("/proc/self/fd/{}", file).c_str(), link.data(), link.size());
  const std::string path(link.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return path.starts_with(root_path + "/") ? path.substr(root_path.size()) : "";
}

/// Whether the Python whose program is in `directory` has the module pip.
bool HasPipModule(int root, const std::string& directory) {
  const std::string library =
      (std::filesystem::path(directory).parent_path() / "lib").lexically_normal().native();
  const auto opened = files::OpenInRoot(root, library, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!opened.ok()) {
    return false;
  }
  const auto names = files::NamesIn(opened->get());
  return names.ok() && std::any_of(names->begin(), names->end(), [&](const std::string& name) {
           if (!name.starts_with("python3")) {
             return false;
           }
           return std::ranges::any_of(
               std::array{"site-packages", "dist-packages"}, [&](const char* packages) {
                 return files::OpenInRoot(root,
                                          fmt::format("{}/{}/{}/pip", library, name, packages),
                                          O_PATH | O_DIRECTORY | O_CLOEXEC)
                     .ok();
               });
         });
}

}  // namespace

StatusOr<BasePrograms> FindPrograms(const std::filesystem::path& root,
                                    const std::string& search_path) {
  ASSIGN_OR_RETURN(const UniqueFd opened, files::OpenRoot(root));
  std::error_code error;
  const std::string root_path = std::filesystem::canonical(root, error).native();
  BasePrograms found;
  std::string_view rest = search_path;
  while (!rest.empty()) {
    const std::string directory(rest.substr(0, rest.find(':')));
    rest.remove_prefix(std::min(directory.size() + 1, rest.size()));
    if (!directory.starts_with('/')) {
      continue;
    }
    found.pip = found.pip || files::OpenProgram(opened.get(), directory + "/pip").valid();
    if (found.python) {
      continue;
    }
    const UniqueFd python = files::OpenProgram(opened.get(), directory + "/python");
    if (python.valid()) {
      found.python = true;
      const std::string behind_links = PathBehindLinks(python.get(), root_path);
      found.pip =
          found.pip || HasPipModule(opened.get(), directory) ||
          (!behind_links.empty() &&
           HasPipModule(opened.get(), std::filesystem::path(behind_links).parent_path().native()));
    }
  }
  return found;
}

}  // namespace starling::dockerfile::python
