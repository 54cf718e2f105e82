/// The artifact in which the descriptions of an image's plain gzip layers travel, one blob each.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "estargz/gzip_layer_index.h"
#include "oci/manifest.h"

namespace starling::layer {

/// The type of the artifact, and of its blobs.
inline constexpr std::string_view kGzipIndexType = "application/vnd.starling.gzip-index.v1";
/// Of a blob: the digest of the image's layer that it describes.
inline constexpr std::string_view kGzipIndexLayerAnnotation = "dev.starling.gzip-index.layer";
/// Of all blobs of one artifact together.
inline constexpr uint64_t kMaxGzipIndexArtifactBytes = 1ULL << 30;

/// The layers of an image of which no table of contents is promised.
std::vector<oci::Descriptor> PlainLayersOf(const oci::Manifest& image);

/// Reads the blobs of an artifact about an image with these plain layers. Whoever attached it
/// decides what the layers hold: nothing proves that yet. kDataLoss, also when a description is not
/// of one of the layers: an artifact must not speak for other images. Else as
/// GzipLayerIndex::Parse.
StatusOr<std::vector<estargz::GzipLayerIndex>> ReadGzipIndexes(
    std::vector<Bytes> blobs, std::span<const oci::Descriptor> plain_layers);

}  // namespace starling::layer
