// Property: what labels say is refused, or names a layer, a TOC and a bounded list with that layer.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "snapshotter/labels.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling::snapshotter;
  // "key=value" lines.
  Labels labels;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const size_t equals = std::min(line.find('='), line.size());
    labels[std::string(line.substr(0, equals))] = line.substr(std::min(equals + 1, line.size()));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto request = LayerRequestFromLabels(labels);
  if (!request.ok()) {
    return 0;
  }
  const auto& layers = request->image_layers;
  if (request->image_reference.empty() || layers.size() > 129 ||
      std::count(layers.begin(), layers.end(), request->layer) != 1) {
    std::abort();
  }
  return 0;
}
