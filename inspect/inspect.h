#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/image_store.h"

namespace starling::inspect {

enum class LayerFormat { kEstargz, kLegacyStargz, kGzip, kZstd, kTar, kUnknown };
std::string_view NameOf(LayerFormat format);

struct LayerReport {
  oci::Descriptor descriptor;
  LayerFormat format = LayerFormat::kUnknown;
  std::optional<oci::Digest> toc_digest;  // of the TOC that the blob has
  uint64_t files = 0;                     // inodes of its tree
  uint64_t content_bytes = 0;             // of its regular files
  bool lazy = false;
  std::string reason;  // why it would not be lazy; empty when it would
};

struct ImageReport {
  std::string name;
  oci::Digest target;               // of what the name stands for
  oci::Digest manifest;             // of the manifest for the platform
  std::vector<LayerReport> layers;  // bottom first

  bool lazy() const;
  uint64_t size_bytes() const;  // of all layers, as stored
};

/// What `starlingd` would do with each layer of the image for `platform`, from its footer and TOC:
/// at most three requests a layer, no layer is downloaded. A layer that is not lazy is no error.
/// Errors: the source's; kDataLoss when manifest or configuration break.
StatusOr<ImageReport> InspectImage(oci::ImageSource& source, const oci::Platform& platform);

}  // namespace starling::inspect
