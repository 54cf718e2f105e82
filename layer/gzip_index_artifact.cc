#include "layer/gzip_index_artifact.h"

#include <algorithm>
#include <utility>

#include "oci/toc_digest.h"

namespace starling::layer {

std::vector<oci::Descriptor> PlainLayersOf(const oci::Manifest& image) {
  std::vector<oci::Descriptor> plain;
  for (const oci::Descriptor& layer : image.layers) {
    if (oci::FindTocDigest(layer.annotations).status().code() == StatusCode::kNotFound) {
      plain.push_back(layer);
    }
  }
  return plain;
}

StatusOr<std::vector<estargz::GzipLayerIndex>> ReadGzipIndexes(
    std::vector<Bytes> blobs, std::span<const oci::Descriptor> plain_layers) {
  std::vector<estargz::GzipLayerIndex> indexes;
  for (size_t number = 0; number < blobs.size(); ++number) {
    auto parsed = estargz::GzipLayerIndex::Parse(std::move(blobs[number]));
    if (!parsed.ok()) {
      return Annotate(parsed.status(),
                      fmt::format("index {} of {} that are attached", number + 1, blobs.size()));
    }
    estargz::GzipLayerIndex index = *std::move(parsed);
    const auto layer = std::ranges::find(plain_layers, index.layer(), &oci::Descriptor::digest);
    if (layer == plain_layers.end() || layer->size_bytes != index.blob_size_bytes()) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("the index is of {}, which is no plain layer of the image",
                                   index.layer().ToString()));
    }
    indexes.push_back(std::move(index));
  }
  return indexes;
}

}  // namespace starling::layer
