#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "erofs/image_reader.h"
#include "layer/chunk_table.h"

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

}  // namespace starling::layer
