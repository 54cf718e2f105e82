#include "layer/needed_files.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "layer/file_names.h"

namespace starling::layer {
namespace {

/// Less than this costs less than another request would.
constexpr uint64_t kRequestBytes = 1 << 20;

/// A regular file, by where its content lies.
struct Place {
  uint64_t data_address = 0;
  uint64_t size_bytes = 0;
  std::string path;
};

std::vector<Place> PlacesOf(const erofs::ImageReader& index) {
  std::map<erofs::Nid, Place> by_nid;
  VisitFiles(index, [&](erofs::Nid nid, const erofs::Attributes& file, std::string path) {
    const auto [known, is_new] = by_nid.try_emplace(
        nid, Place{.data_address = file.data_address, .size_bytes = file.size_bytes, .path = path});
    if (!is_new && path < known->second.path) {
      known->second.path = std::move(path);
    }
  });
  std::vector<Place> places;
  places.reserve(by_nid.size());
  for (auto& [nid, place] : by_nid) {
    places.push_back(std::move(place));
  }
  std::ranges::sort(places, {}, [](const Place& place) {
    return std::tuple<uint64_t, const std::string&>(place.data_address, place.path);
  });
  return places;
}

bool IsReadInParts(const NeededFile& file, const store::LayerInfo& layer) {
  const double density =
      layer.data_size_bytes == 0
          ? 1
          : static_cast<double>(layer.blob_size_bytes) / static_cast<double>(layer.data_size_bytes);
  const double rest_bytes = static_cast<double>(file.size_bytes - file.needed_bytes) * density;
  return file.needed_bytes < file.size_bytes / 2 &&
         rest_bytes > static_cast<double>(file.parts * kRequestBytes);
}

}  // namespace

std::vector<NeededFile> FindNeededFiles(const erofs::ImageReader& index,
                                        std::span<const AccessRange> ranges) {
  std::vector<NeededFile> files;
  for (Place& place : PlacesOf(index)) {
    const uint64_t end = place.data_address + place.size_bytes;
    NeededFile file{.size_bytes = place.size_bytes, .first_need = AccessProfile::kMaxFirstNeed};
    auto range = std::ranges::upper_bound(ranges, place.data_address, {},
                                          [](const AccessRange& r) { return r.range.end(); });
    uint64_t part_end = 0;
    for (; range != ranges.end() && range->range.data_address < end; ++range) {
      file.parts += file.parts == 0 || range->range.data_address > part_end ? 1 : 0;
      part_end = range->range.end();
      file.needed_bytes += std::min(end, range->range.end()) -
                           std::max(place.data_address, range->range.data_address);
      file.first_need = std::min(file.first_need, range->first_need);
      file.runs = std::max(file.runs, range->runs);
    }
    if (file.needed_bytes > 0) {
      file.path = std::move(place.path);
      files.push_back(std::move(file));
    }
  }
  std::ranges::stable_sort(files, {}, &NeededFile::first_need);
  return files;
}

std::vector<NeededFile> WorthPrefetching(std::vector<NeededFile> files, uint32_t runs,
                                         const store::LayerInfo& layer) {
  std::erase_if(files, [&](const NeededFile& file) {
    const bool is_usual = 2 * uint64_t{file.runs} >= runs;
    return !is_usual || IsReadInParts(file, layer);
  });
  return files;
}

std::vector<NeededFile> ReadInParts(std::vector<NeededFile> files, const store::LayerInfo& layer) {
  std::erase_if(files, [&](const NeededFile& file) { return !IsReadInParts(file, layer); });
  return files;
}

}  // namespace starling::layer
