#include "oci/descriptor.h"

#include <algorithm>

namespace starling::oci {
namespace media_type {
namespace {

// Never specified by Docker, but written by BuildKit and read by containerd.
constexpr std::string_view kDockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd";

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

}  // namespace media_type

StatusOr<Digest> PromisedTocDigest(const Annotations& annotations) {
  const auto found = annotations.find(std::string(annotation::kTocDigest));
  // Labels, which annotations may have become, say "absent" by an empty value too.
  if (found == annotations.end() || found->second.empty()) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("the layer has no annotation {}, so nothing could be verified: "
                                 "starling convert adds it",
                                 annotation::kTocDigest));
  }
  StatusOr<Digest> digest = Digest::Parse(found->second);
  if (!digest.ok()) {
    return Annotate(digest.status(), fmt::format("annotation {}", annotation::kTocDigest));
  }
  return digest;
}

}  // namespace starling::oci
