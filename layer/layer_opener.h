#pragma once

#include <memory>

#include "layer/lazy_layer.h"
#include "oci/image_store.h"
#include "store/layer_store.h"

namespace starling::layer {

/// A layer that was indexed just now, and the blob that it came from.
struct OpenedLayer {
  std::shared_ptr<store::StoredLayer> stored;
  std::shared_ptr<oci::BlobReader> reader;
};

/// Reads the TOC of the blob `key.layer` of `size_bytes` (0: unknown), checks that its digest is
/// `key.toc`, and stores the layer's index and chunk table. Blocks for two requests at most.
/// Errors: kNotFound when the blob is no eStargz layer; kDataLoss when it is not what `key` says;
/// kResourceExhausted beyond a limit or with a full disk; else the source's.
StatusOr<OpenedLayer> OpenLayer(oci::ImageSource& source, const store::LayerKey& key,
                                uint64_t size_bytes, store::LayerStore& layers,
                                FetchCounters& counters);

}  // namespace starling::layer
