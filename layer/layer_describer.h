#pragma once

#include "estargz/gzip_layer_index.h"
#include "oci/image_store.h"

namespace starling::layer {

/// Reads `layer`, a plain gzip layer, once and describes it, so that it can be read in parts from
/// then on. Blocks for all of its bytes, which a thread of its own receives meanwhile.
/// Errors: those of the source, kDataLoss for other bytes than the digest says among them, and of
/// estargz::IndexGzipLayer.
StatusOr<estargz::GzipLayerIndex> DescribeLayer(oci::ImageSource& source,
                                                const oci::Descriptor& layer,
                                                const estargz::GzipIndexOptions& options = {});

}  // namespace starling::layer
