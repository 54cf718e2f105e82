#include "layer/file_names.h"

#include <dirent.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

namespace starling::layer {
namespace {

struct Found {
  uint64_t data_address = 0;
  erofs::Nid nid = 0;
  std::string path;
};

struct Directory {
  erofs::Nid nid = 0;
  std::string path;  // ends with '/'
};

/// Where a tree of hostile depth would cost more than a name is worth.
constexpr size_t kMaxPathBytes = 4096;

}  // namespace

void VisitFiles(const erofs::ImageReader& index,
                const std::function<void(erofs::Nid nid, const erofs::Attributes& file,
                                         std::string path)>& visit) {
  std::set<erofs::Nid> seen = {index.root()};  // a damaged directory may contain itself
  std::vector<Directory> waiting = {{.nid = index.root(), .path = "/"}};
  const auto visit_file = [&](const Directory& directory,
                              const erofs::ImageReader::DirectoryEntry& entry) {
    const auto file = index.Stat(entry.nid);
    if (file.ok() && file->size_bytes > 0) {
      visit(entry.nid, *file, directory.path + std::string(entry.name));
    }
  };
  while (!waiting.empty()) {
    const Directory directory = std::move(waiting.back());
    waiting.pop_back();
    (void)index.ReadDirectory(
        directory.nid, 0, [&](const erofs::ImageReader::DirectoryEntry& entry) {
          if (entry.name == "." || entry.name == "..") {
            return true;
          }
          if (entry.file_type == DT_REG) {
            visit_file(directory, entry);
          } else if (entry.file_type == DT_DIR && directory.path.size() < kMaxPathBytes &&
                     seen.insert(entry.nid).second) {
            waiting.push_back(
                {.nid = entry.nid, .path = directory.path + std::string(entry.name) + "/"});
          }
          return true;
        });
  }
}

std::vector<FilesOfRange> FindFiles(const erofs::ImageReader& index,
                                    std::span<const DataRange> ranges) {
  std::vector<FilesOfRange> files(ranges.size());
  if (ranges.empty()) {
    return files;
  }
  std::vector<std::vector<Found>> found(ranges.size());
  VisitFiles(index, [&](erofs::Nid nid, const erofs::Attributes& file, std::string path) {
    for (size_t i = 0; i < ranges.size(); ++i) {
      if (file.data_address < ranges[i].end() &&
          ranges[i].data_address < file.data_address + file.size_bytes) {
        found[i].push_back({.data_address = file.data_address, .nid = nid, .path = path});
      }
    }
  });
  for (size_t i = 0; i < ranges.size(); ++i) {
    std::vector<Found>& in_range = found[i];
    std::ranges::sort(in_range, {}, [](const Found& file) {
      return std::tuple<uint64_t, erofs::Nid, const std::string&>(file.data_address, file.nid,
                                                                  file.path);
    });
    const auto names = std::ranges::unique(in_range, {}, &Found::nid);
    in_range.erase(names.begin(), names.end());
    if (!in_range.empty()) {
      files[i] = {.first = in_range.front().path, .more_files = in_range.size() - 1};
    }
  }
  return files;
}

}  // namespace starling::layer
