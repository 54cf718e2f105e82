#pragma once

#include <memory>

#include "estargz/gzip_layer_index.h"
#include "layer/index_builder.h"
#include "layer/lazy_layer.h"
#include "layer/toc_image.h"
#include "oci/image_store.h"
#include "oci/toc_digest.h"
#include "store/layer_store.h"

namespace starling::layer {

/// A layer that was indexed just now, and the blob that it came from.
struct OpenedLayer {
  std::shared_ptr<store::StoredLayer> stored;
  std::shared_ptr<oci::BlobReader> reader;
  /// The blob's last bytes, which came with its TOC.
  Bytes tail;
  /// What it cost.
  uint64_t requests = 0;
  uint64_t fetched_bytes = 0;
};

/// How the TOC is found and proven.
struct TocAccess {
  oci::TocDigestOf digest_of = oci::TocDigestOf::kJson;  // what the key's digest is of
  TocImage* toc_image = nullptr;                         // borrowed; for layers without a TOC
};

/// How many of a blob's last bytes OpenLayer asks for first: a small layer's TOC is small, and of
/// an image of many layers all of these are waited for. `blob_size_bytes` 0: unknown.
uint64_t TailBytes(uint64_t blob_size_bytes);

/// Reads the TOC of the blob `key.layer` of `size_bytes` (0: unknown), checks that its digest is
/// `key.toc`, and stores the layer's index and chunk table. Blocks for two requests at most, three
/// when the TOC is in another image.
/// Errors: kNotFound when the blob is no layer of a lazy format; kDataLoss when it is not what
/// `key` says; kResourceExhausted beyond a limit or with a full disk; else those of FetchToc.
StatusOr<OpenedLayer> OpenLayer(oci::ImageSource& source, const store::LayerKey& key,
                                uint64_t size_bytes, store::LayerStore& layers,
                                FetchCounters& counters, const TocAccess& access = {});

/// The index alone, as OpenLayer would store it: of a layer of a lazy format, whoever vouches for
/// its TOC. Errors as OpenLayer.
StatusOr<LayerIndex> ReadIndex(oci::ImageSource& source, const oci::Descriptor& layer);

/// What a plain gzip layer is known by when its description is trusted.
store::LayerKey KeyOf(const estargz::GzipLayerIndex& description);
/// Stores index and chunk table of the plain gzip layer that `description` is of, without asking
/// anybody. Errors as BuildIndex and LayerStore::Create.
StatusOr<std::shared_ptr<store::StoredLayer>> StoreDescribed(
    const estargz::GzipLayerIndex& description, store::LayerStore& layers);

}  // namespace starling::layer
