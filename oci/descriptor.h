#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "oci/digest.h"
#include "oci/platform.h"

namespace starling::oci {

/// Ordered, so that what we write is deterministic.
using Annotations = std::map<std::string, std::string>;

/// A pointer to content. Source: OCI image specification, "descriptor".
struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size_bytes = 0;
  Annotations annotations;
  std::optional<Platform> platform;
  std::vector<std::string> urls;
  std::string artifact_type;

  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

namespace media_type {
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayerTar = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerManifestList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayerGzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerTar = "application/vnd.docker.image.rootfs.diff.tar";

bool IsManifest(std::string_view media_type);
bool IsIndex(std::string_view media_type);
/// A layer that is distributed with its image (not a foreign one), in any known compression.
bool IsLayer(std::string_view media_type);
/// A layer that its owner forbids to distribute with its image ("foreign", "nondistributable").
bool IsForeignLayer(std::string_view media_type);
}  // namespace media_type

namespace annotation {
/// Digest of the uncompressed TOC JSON of an eStargz layer. Source: eStargz specification.
inline constexpr std::string_view kTocDigest = "containerd.io/snapshot/stargz/toc.digest";
/// Digest of the compressed TOC of a zstd:chunked layer. Source: containers/storage,
/// pkg/chunked/internal/minimal. The old name is that of its writers until 2023, and of
/// stargz-snapshotter, which adds kTocDigest.
inline constexpr std::string_view kCompressedTocDigest =
    "io.github.containers.zstd-chunked.manifest-checksum";
inline constexpr std::string_view kOldCompressedTocDigest =
    "io.containers.zstd-chunked.manifest-checksum";
/// Where the compressed TOC is: "OFFSET:BYTES:DECOMPRESSED:1", by both writers' names.
inline constexpr std::string_view kTocPosition =
    "io.github.containers.zstd-chunked.manifest-position";
inline constexpr std::string_view kOldTocPosition = "io.containers.zstd-chunked.manifest-position";
/// "OFFSET:BYTES:DECOMPRESSED" of the tar-split.
inline constexpr std::string_view kTarSplitPosition =
    "io.github.containers.zstd-chunked.tarsplit-position";
/// In an image of external TOCs: the digest of the layer that a TOC is for. Source:
/// stargz-snapshotter, nativeconverter/estargz/externaltoc.
inline constexpr std::string_view kTocLayerDigest = "containerd.io/snapshot/stargz/layer.digest";
/// Decimal bytes of the layer's tar. Source: containers/storage.
inline constexpr std::string_view kUncompressedSize = "io.containers.estargz.uncompressed-size";
inline constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
/// The full reference of an image in what `ctr image export` and Docker write.
inline constexpr std::string_view kContainerdName = "io.containerd.image.name";
}  // namespace annotation

}  // namespace starling::oci
