#include "oci/descriptor.h"

#include <algorithm>

namespace starling::oci::media_type {
namespace {

// Never specified by Docker, but written by BuildKit and read by containerd.
constexpr std::string_view kDockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd";
// With the compression after them.
constexpr std::string_view kOciForeignLayerPrefix =
    "application/vnd.oci.image.layer.nondistributable.v1.tar";
constexpr std::string_view kDockerForeignLayerPrefix =
    "application/vnd.docker.image.rootfs.foreign.diff.tar";

}  // namespace

bool IsManifest(std::string_view media_type) {
  return media_type == kOciManifest || media_type == kDockerManifest;
}

bool IsIndex(std::string_view media_type) {
  return media_type == kOciIndex || media_type == kDockerManifestList;
}

bool IsLayer(std::string_view media_type) {
  constexpr std::string_view kKnown[] = {kOciLayerTar,     kOciLayerGzip,   kOciLayerZstd,
                                         kDockerLayerGzip, kDockerLayerTar, kDockerLayerZstd};
  return std::find(std::begin(kKnown), std::end(kKnown), media_type) != std::end(kKnown);
}

bool IsForeignLayer(std::string_view media_type) {
  return media_type.starts_with(kOciForeignLayerPrefix) ||
         media_type.starts_with(kDockerForeignLayerPrefix);
}

}  // namespace starling::oci::media_type
