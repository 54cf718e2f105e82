#pragma once

#include <vector>

#include "erofs/image_reader.h"
#include "layer/chunk_table.h"

namespace starling::layer {

/// Where the data of those files of a layer is that a dynamically linked program reads before its
/// own first instruction, whatever it does: loaders, their cache, the C library with its
/// mathematics. By name, of glibc and of musl; some megabytes at most. Symlinks are followed within
/// the layer.
std::vector<DataRange> FindStartFiles(const erofs::ImageReader& index);

}  // namespace starling::layer
