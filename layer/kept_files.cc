#include "layer/kept_files.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace starling::layer {

Status RemoveOldest(const std::filesystem::path& directory, std::string_view extension,
                    const KeptLimits& limits, const std::filesystem::path& newest) {
  struct File {
    std::filesystem::file_time_type time;
    std::filesystem::path path;
    uint64_t bytes = 0;
  };
  std::vector<File> files;
  std::error_code error;
  const uintmax_t newest_bytes = std::filesystem::file_size(newest, error);
  uint64_t bytes = error ? 0 : newest_bytes;
  error.clear();
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != extension || at->path() == newest) {
      continue;
    }
    std::error_code gone;
    File file{.time = at->last_write_time(gone), .path = at->path()};
    if (!gone) {
      file.bytes = at->file_size(gone);
    }
    if (!gone) {
      bytes += file.bytes;
      files.push_back(std::move(file));
    }
  }
  if (error) {
    return ErrnoError(error.value(), directory.string());
  }
  std::ranges::sort(files, {}, [](const File& file) { return std::tie(file.time, file.path); });
  size_t count = files.size() + 1;
  for (const File& file : files) {
    if (count <= limits.files && bytes <= limits.bytes) {
      break;
    }
    std::filesystem::remove(file.path, error);
    if (error) {
      return ErrnoError(error.value(), file.path.string());
    }
    --count;
    bytes -= file.bytes;
  }
  return OkStatus();
}

}  // namespace starling::layer
