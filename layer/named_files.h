#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "erofs/image_reader.h"
#include "layer/chunk_table.h"

namespace starling::layer {

/// Files by their names in an image, looked for in its layers one by one and in any order: a hint
/// of what will be read, since what layers hide of each other does not count. A symlink leads on,
/// also to what another layer has: its target is a name from then on.
/// Threads: none of its own; not safe.
class NamedFiles {
 public:
  /// Of a larger file that is the front, which has the program's headers and its start.
  static constexpr uint64_t kMaxFileBytes = 8 << 20;

  /// `paths` are relative to the image's root, or absolute, which is the same.
  explicit NamedFiles(const std::vector<std::string>& paths);

  /// Where the data of those lies that the layer with this index has: in the order of the names,
  /// each once. No more than kMaxFileBytes of one.
  std::vector<DataRange> FindIn(const erofs::ImageReader& index);
  /// More than before: a symlink was found, so look again in the layers that were looked at.
  size_t name_count() const { return names_.size(); }

 private:
  std::optional<std::string> Add(std::string_view path);

  std::vector<std::string> names_;  // without "." and "..", and without a slash in front
  std::set<std::string, std::less<>> known_;
};

}  // namespace starling::layer
