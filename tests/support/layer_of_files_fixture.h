/// Lazy layers made of a few files, and what parts of them are called.
#pragma once

#include <string>
#include <vector>

#include "layer/file_names.h"
#include "tests/support/gzip_text.h"
#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/tar_builder.h"

namespace starling::testing_support {

class LayerOfFilesFixture : public LazyLayerFixture {
 protected:
  static TarFile File(const std::string& name, size_t size_bytes = 10'000) {
    return {.name = name, .content = Noise(size_bytes, static_cast<unsigned>(name.size()))};
  }
  static TarFile Link(const std::string& name, const std::string& target) {
    return {.name = name, .type = '2', .link_name = target};
  }
  void OpenFiles(const std::vector<TarFile>& files, uint64_t chunk_size_bytes) {
    TarBuilder tar;
    for (const TarFile& file : files) {
      tar.Add(file);
    }
    OpenLayer(tar.Finish(), chunk_size_bytes);
  }
  /// Of layer_, the names of what the ranges are of.
  std::vector<std::string> NamesOf(const std::vector<layer::DataRange>& ranges) {
    std::vector<std::string> names;
    for (const layer::FilesOfRange& found : layer::FindFiles(layer_->index(), ranges)) {
      names.push_back(found.first);
    }
    return names;
  }
};

}  // namespace starling::testing_support
