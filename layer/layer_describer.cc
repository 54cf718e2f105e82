#include "layer/layer_describer.h"

#include "base/byte_pipe.h"

namespace starling::layer {
namespace {

constexpr size_t kPipeBytes = 8 << 20;

}  // namespace

StatusOr<estargz::GzipLayerIndex> DescribeLayer(oci::ImageSource& source,
                                                const oci::Descriptor& layer,
                                                const estargz::GzipIndexOptions& options) {
  StatusOr<estargz::GzipLayerIndex> index;
  const Status status = RunPiped(
      "layer-in", kPipeBytes, [&](ByteSink& pipe) { return source.ReadBlob(layer, pipe); },
      [&](ByteSource& pipe) {
        index = estargz::IndexGzipLayer(pipe, layer.digest, options);
        return index.status();
      });
  if (!status.ok()) {
    return Annotate(status, fmt::format("layer {}", layer.digest.ToString()));
  }
  return index;
}

}  // namespace starling::layer
