#include "dockerfile/python/start_files.h"

#include <array>
#include <string_view>
#include <system_error>

#include "base/status.h"
#include "dockerfile/python/repair.h"

namespace starling::dockerfile::python {
namespace {

/// From this version on the other modules of the start are in the program.
constexpr int kFrozenSince = 11;

// In the order of reading.
constexpr std::array<std::string_view, 3> kModules = {"encodings/__init__.py",
                                                      "encodings/aliases.py", "encodings/utf_8.py"};
constexpr std::array<std::string_view, 11> kFrozenModules = {"codecs.py",
                                                             "io.py",
                                                             "abc.py",
                                                             "site.py",
                                                             "os.py",
                                                             "stat.py",
                                                             "_collections_abc.py",
                                                             "posixpath.py",
                                                             "genericpath.py",
                                                             "_sitebuiltins.py",
                                                             "encodings/latin_1.py"};

}  // namespace

std::vector<std::string> StartFiles(const std::filesystem::path& tree, int minor) {
  std::vector<std::string> files;
  const auto add = [&](std::string path) {
    std::error_code error;
    if (std::filesystem::is_regular_file(std::filesystem::symlink_status(tree / path, error))) {
      files.push_back(std::move(path));
    }
  };
  for (const std::string_view suffix : {"", "t"}) {
    const std::string name = fmt::format("python3.{}{}", minor, suffix);
    add("bin/" + name);
    add(fmt::format("lib/lib{}.so.1.0", name));
    for (const std::string_view module : kModules) {
      add(fmt::format("lib/{}/{}", name, module));
    }
    add(fmt::format("lib/{}/site-packages/{}", name, kCertificatesName));
    for (const std::string_view module : kFrozenModules) {
      if (minor < kFrozenSince) {
        add(fmt::format("lib/{}/{}", name, module));
      }
    }
  }
  return files;
}

}  // namespace starling::dockerfile::python
