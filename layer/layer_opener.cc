#include "layer/layer_opener.h"

#include <algorithm>

#include "estargz/layer_tree.h"
#include "layer/toc_fetch.h"

namespace starling::layer {
namespace {

/// Layers of small files have a TOC of a few percent of their size.
constexpr uint64_t kTailPart = 16;
constexpr uint64_t kMinTailBytes = 64 << 10;

StatusOr<LayerIndex> IndexBlob(const oci::OpenedBlob& blob, const WantedToc& wanted,
                               FetchCounters& counters) {
  const estargz::TocLimits limits;
  ASSIGN_OR_RETURN(FetchedToc toc, FetchToc(blob, wanted, limits, counters));
  const Codec codec = estargz::IsZstd(toc.footer.kind) ? Codec::kZstd : Codec::kGzip;
  ASSIGN_OR_RETURN(const estargz::LayerTree tree, BuildTree(std::move(toc), limits));
  return BuildIndex(tree, blob.reader->SizeBytes(), codec);
}

StatusOr<OpenedLayer> Open(oci::ImageSource& source, const store::LayerKey& key,
                           uint64_t size_bytes, store::LayerStore& layers, FetchCounters& counters,
                           const TocAccess& access) {
  const std::string name = fmt::format("layer {}", key.layer.ToString());
  oci::Descriptor descriptor;
  descriptor.media_type = oci::media_type::kOciLayerGzip;
  descriptor.digest = key.layer;
  descriptor.size_bytes = size_bytes;
  counters.CountRequest(Purpose::kIndex);
  const uint64_t tail_bytes = TailBytes(size_bytes);
  StatusOr<oci::OpenedBlob> blob = source.OpenBlob(descriptor, tail_bytes);
  if (!blob.ok()) {
    return Annotate(blob.status(), name);
  }
  counters.CountBytes(Purpose::kIndex, blob->tail.size());
  const uint64_t blob_size = blob->reader->SizeBytes();
  if ((size_bytes != 0 && blob_size != size_bytes) ||
      blob->tail.size() != std::min(tail_bytes, blob_size)) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: {} bytes long instead of {}", name, blob_size, size_bytes));
  }
  const WantedToc wanted{.layer = key.layer,
                         .promised = oci::TocDigest{.digest = key.toc, .of = access.digest_of},
                         .toc_image = access.toc_image};
  const StatusOr<LayerIndex> index = IndexBlob(*blob, wanted, counters);
  if (!index.ok()) {
    return Annotate(index.status(), name);
  }
  ASSIGN_OR_RETURN(std::shared_ptr<store::StoredLayer> stored,
                   layers.Create(key, index->info, index->image, index->chunk_table));
  return OpenedLayer{.stored = std::move(stored),
                     .reader = std::move(blob->reader),
                     .tail = std::move(blob->tail)};
}

}  // namespace

uint64_t TailBytes(uint64_t blob_size_bytes) {
  if (blob_size_bytes <= kTailBytes) {
    return kTailBytes;  // unknown, or all of it
  }
  return std::clamp(blob_size_bytes / kTailPart, kMinTailBytes, kTailBytes);
}

StatusOr<OpenedLayer> OpenLayer(oci::ImageSource& source, const store::LayerKey& key,
                                uint64_t size_bytes, store::LayerStore& layers,
                                FetchCounters& counters, const TocAccess& access) {
  FetchCounters own;
  StatusOr<OpenedLayer> opened = Open(source, key, size_bytes, layers, own, access);
  counters.CountFetches(Purpose::kIndex, own.requests, own.bytes);
  if (opened.ok()) {
    opened->requests = own.requests;
    opened->fetched_bytes = own.bytes;
  }
  return opened;
}

StatusOr<LayerIndex> ReadIndex(oci::ImageSource& source, const oci::Descriptor& layer) {
  ASSIGN_OR_RETURN(const oci::OpenedBlob blob, source.OpenBlob(layer, kTailBytes));
  FetchCounters counters;
  auto index =
      IndexBlob(blob, {.layer = layer.digest, .promised = {}, .toc_image = nullptr}, counters);
  return index.ok() ? std::move(index)
                    : Annotate(index.status(), fmt::format("layer {}", layer.digest.ToString()));
}

store::LayerKey KeyOf(const estargz::GzipLayerIndex& description) {
  return {.layer = description.layer(), .toc = description.digest()};
}

StatusOr<std::shared_ptr<store::StoredLayer>> StoreDescribed(
    const estargz::GzipLayerIndex& description, store::LayerStore& layers) {
  const StatusOr<LayerIndex> index = BuildIndex(description);
  if (!index.ok()) {
    return Annotate(index.status(), fmt::format("layer {}", description.layer().ToString()));
  }
  return layers.Create(KeyOf(description), index->info, index->image, index->chunk_table);
}

}  // namespace starling::layer
