#pragma once

#include <string>
#include <utility>

#include "layer/lazy_layer.h"

namespace starling::testing_support {

/// An image whose blob is at one place, which bears its name.
inline void NameSource(layer::LazyLayer& layer, const std::string& image, const std::string& host,
                       layer::BlobSources::Open open) {
  layer.SetSources(image, host, {{.name = image, .open = std::move(open)}});
}

}  // namespace starling::testing_support
