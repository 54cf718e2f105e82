#include "base/temp_dir.h"

#include <stdlib.h>

#include <cerrno>

namespace starling {

StatusOr<TempDir> TempDir::Make(const std::filesystem::path& parent, std::string_view prefix) {
  std::string path = (parent / fmt::format("{}XXXXXX", prefix)).string();
  if (::mkdtemp(path.data()) == nullptr) {
    return ErrnoError(errno, fmt::format("make a directory in {}", parent.string()));
  }
  return TempDir(path);
}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TempDir::~TempDir() {
  if (!path_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
}

}  // namespace starling
