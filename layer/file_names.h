#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "erofs/image_reader.h"
#include "layer/chunk_table.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Calls `visit` for every name of a regular file that has content, "/usr/bin/x", in no order that
/// means something. What of the index cannot be read has no names.
void VisitFiles(const erofs::ImageReader& index,
                const std::function<void(erofs::Nid nid, const erofs::Attributes& file,
                                         std::string path)>& visit);

/// The files that a part of a layer's data is of.
struct FilesOfRange {
  std::string first;        // "/usr/bin/x", by one of its names; empty: none
  uint64_t more_files = 0;  // that begin behind it in the range

  friend bool operator==(const FilesOfRange&, const FilesOfRange&) = default;
};

/// In the order of `ranges`. Looks at every inode once, whatever the index says.
std::vector<FilesOfRange> FindFiles(const erofs::ImageReader& index,
                                    std::span<const DataRange> ranges);

/// Whose files are asked for: FindFiles of that layer, or none.
using FilesOfRanges = std::function<std::vector<FilesOfRange>(const store::LayerKey& layer,
                                                              std::span<const DataRange> ranges)>;

/// Sets `file` and `more_files` of each of `entries`, with one question for each layer. `place`
/// tells the `layer` and the `range` of one.
template <typename Entry, typename Place>
void NameFiles(std::vector<Entry>& entries, const FilesOfRanges& files_of, const Place& place) {
  std::map<store::LayerKey, std::vector<Entry*>> of_layers;
  for (Entry& entry : entries) {
    of_layers[place(entry).layer].push_back(&entry);
  }
  for (const auto& [key, of_layer] : of_layers) {
    std::vector<DataRange> ranges;
    ranges.reserve(of_layer.size());
    for (const Entry* entry : of_layer) {
      ranges.push_back(place(*entry).range);
    }
    const std::vector<FilesOfRange> files = files_of(key, ranges);
    for (size_t i = 0; i < files.size(); ++i) {
      of_layer[i]->file = files[i].first;
      of_layer[i]->more_files = files[i].more_files;
    }
  }
}

}  // namespace starling::layer
