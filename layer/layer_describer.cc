#include "layer/layer_describer.h"

#include <thread>

#include "base/byte_pipe.h"
#include "base/executor.h"

namespace starling::layer {
namespace {

constexpr size_t kPipeBytes = 8 << 20;

}  // namespace

StatusOr<estargz::GzipLayerIndex> DescribeLayer(oci::ImageSource& source,
                                                const oci::Descriptor& layer,
                                                const estargz::GzipIndexOptions& options) {
  BytePipe pipe(kPipeBytes);
  Status downloaded;  // the thread's, until it is joined
  std::thread download([&] {
    SetThreadName("layer-in");
    downloaded = source.ReadBlob(layer, pipe);
    pipe.Finish(downloaded);
  });
  auto index = estargz::IndexGzipLayer(pipe, layer.digest, options);
  pipe.Abandon();
  download.join();
  // A wrong digest is known after the last byte. A reader that gave up cancelled the download,
  // which is not what went wrong.
  if (!downloaded.ok() && downloaded.code() != StatusCode::kCancelled) {
    return Annotate(downloaded, fmt::format("layer {}", layer.digest.ToString()));
  }
  if (!index.ok()) {
    return Annotate(index.status(), fmt::format("layer {}", layer.digest.ToString()));
  }
  if (!downloaded.ok()) {
    return MakeError(StatusCode::kInternal, "the layer was not read to its end");
  }
  return index;
}

}  // namespace starling::layer
