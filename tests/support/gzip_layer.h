/// A plain gzip layer with its description, for tests that read it in parts.
#pragma once

#include <string>

#include "estargz/gzip_layer_index.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"
#include "tests/support/tar_builder.h"

namespace starling::testing_support {

struct GzipLayer {
  std::string tar;
  std::string blob;
  estargz::GzipLayerIndex index;
};

/// A directory with a file of 2 MiB that compresses, one of noise, and small ones; points about
/// every 64 KiB. Different for each `seed`.
inline StatusOr<GzipLayer> MakeGzipLayer(uint32_t seed) {
  TarBuilder builder;
  builder.Add({.name = "dir/", .type = '5', .mode = 0755});
  builder.Add({.name = "dir/large", .content = CompressibleText(2 << 20, seed)});
  builder.Add({.name = "dir/noise", .content = Noise(300'000, seed)});
  for (uint32_t i = 0; i < 50; ++i) {
    builder.Add(
        {.name = fmt::format("small/{}", i), .content = CompressibleText(99 * i, seed + i)});
  }
  std::string tar = builder.Finish();
  std::string blob = Gzip(tar);
  SpanSource source(AsBytes(blob));
  ASSIGN_OR_RETURN(
      estargz::GzipLayerIndex index,
      estargz::IndexGzipLayer(source, oci::Digest::Of(AsBytes(blob)), {.spacing_bytes = 64 << 10}));
  return GzipLayer{.tar = std::move(tar), .blob = std::move(blob), .index = std::move(index)};
}

}  // namespace starling::testing_support
