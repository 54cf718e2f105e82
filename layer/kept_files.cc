#include "layer/kept_files.h"

#include <algorithm>
#include <vector>

namespace starling::layer {

Status RemoveOldest(const std::filesystem::path& directory, std::string_view extension,
                    size_t max_files, const std::filesystem::path& newest) {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != extension || at->path() == newest) {
      continue;
    }
    std::error_code gone;
    const auto written = at->last_write_time(gone);
    if (!gone) {
      files.emplace_back(written, at->path());
    }
  }
  if (error) {
    return ErrnoError(error.value(), directory.string());
  }
  std::ranges::sort(files);
  for (size_t i = 0; i + max_files < files.size() + 1; ++i) {
    std::filesystem::remove(files[i].second, error);
    if (error) {
      return ErrnoError(error.value(), files[i].second.string());
    }
  }
  return OkStatus();
}

}  // namespace starling::layer
