/// Which files runs of an image needed, by an access profile.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "erofs/image_reader.h"
#include "layer/access_profile.h"
#include "store/layer_store.h"

namespace starling::layer {

/// A file of a layer that runs needed some of.
struct NeededFile {
  std::string path;  // from the layer's root, "/usr/bin/x", by one of its names
  uint64_t size_bytes = 0;
  uint64_t needed_bytes = 0;
  uint32_t parts = 0;  // stretches that were needed, with something between them that was not
  std::chrono::milliseconds first_need{0};
  uint32_t runs = 0;  // that needed what most runs needed of it

  friend bool operator==(const NeededFile&, const NeededFile&) = default;
};

/// In the order in which they were first needed, then as they lie in the layer. `ranges` are as in
/// a LayerAccess of the layer with this index.
std::vector<NeededFile> FindNeededFiles(const erofs::ImageReader& index,
                                        std::span<const AccessRange> ranges);

/// Those of `files` that are worth their bytes when they are fetched whole before anybody asks, in
/// their order: needed by at least half of the `runs`, and read for the most part, or in so many
/// parts that a request for each would cost more than the rest, which is as well compressed as all
/// of the `layer`.
std::vector<NeededFile> WorthPrefetching(std::vector<NeededFile> files, uint32_t runs,
                                         const store::LayerInfo& layer);

/// Those of `files` that are large and of which runs read a few parts only, in their order: smaller
/// chunks save the rest.
std::vector<NeededFile> ReadInParts(std::vector<NeededFile> files, const store::LayerInfo& layer);

}  // namespace starling::layer
