#include "layer/layer_opener.h"

#include "estargz/footer.h"
#include "estargz/layer_tree.h"
#include "estargz/toc.h"
#include "layer/index_builder.h"

namespace starling::layer {
namespace {

/// The TOC's gzip member: out of the tail, or with a second request.
StatusOr<Bytes> ReadTocMember(const oci::OpenedBlob& blob, const estargz::Footer& footer,
                              const estargz::TocLimits& limits, FetchCounters& counters) {
  const uint64_t blob_size = blob.reader->SizeBytes();
  const oci::BlobRange member{.blob_offset = footer.toc_offset,
                              .size_bytes = blob_size - footer.size_bytes - footer.toc_offset};
  if (member.size_bytes > limits.compressed_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("a TOC of {} compressed bytes, more than the limit of {}",
                                 member.size_bytes, limits.compressed_bytes));
  }
  const uint64_t tail_offset = blob_size - blob.tail.size();
  if (member.blob_offset >= tail_offset) {
    const ByteSpan held =
        ByteSpan(blob.tail).subspan(member.blob_offset - tail_offset, member.size_bytes);
    return Bytes(held.begin(), held.end());
  }
  // Only what the tail does not have.
  const oci::BlobRange missing{.blob_offset = member.blob_offset,
                               .size_bytes = tail_offset - member.blob_offset};
  const uint64_t fetched_bytes = std::min(missing.size_bytes, member.size_bytes);
  counters.requests.fetch_add(1, std::memory_order_relaxed);
  ASSIGN_OR_RETURN(Bytes bytes, blob.reader->ReadAndWait({.blob_offset = missing.blob_offset,
                                                          .size_bytes = fetched_bytes}));
  counters.bytes.fetch_add(bytes.size(), std::memory_order_relaxed);
  const ByteSpan rest = ByteSpan(blob.tail).first(member.size_bytes - fetched_bytes);
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

StatusOr<LayerIndex> IndexBlob(const oci::OpenedBlob& blob, const oci::Digest& toc_digest,
                               FetchCounters& counters) {
  const estargz::TocLimits limits;
  const uint64_t blob_size = blob.reader->SizeBytes();
  ASSIGN_OR_RETURN(const estargz::Footer footer, estargz::ParseFooter(blob.tail, blob_size));
  if (footer.kind != estargz::FooterKind::kEstargz) {
    return MakeError(StatusCode::kNotFound,
                     "a stargz layer of the old format, which cannot be verified");
  }
  ASSIGN_OR_RETURN(const Bytes member, ReadTocMember(blob, footer, limits, counters));
  ASSIGN_OR_RETURN(estargz::TocJson json, estargz::ExtractToc(member, limits));
  if (json.digest != toc_digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("the TOC's digest is {}, but {} was promised",
                                 json.digest.ToString(), toc_digest.ToString()));
  }
  ASSIGN_OR_RETURN(estargz::Toc toc, estargz::Toc::Parse(json.json, limits));
  json.json = {};  // tens of megabytes for a large layer
  ASSIGN_OR_RETURN(const estargz::LayerTree tree,
                   estargz::LayerTree::Build(std::move(toc), footer.toc_offset, limits));
  return BuildIndex(tree, blob_size);
}

}  // namespace

StatusOr<OpenedLayer> OpenLayer(oci::ImageSource& source, const store::LayerKey& key,
                                uint64_t size_bytes, store::LayerStore& layers,
                                FetchCounters& counters) {
  const std::string name = fmt::format("layer {}", key.layer.ToString());
  oci::Descriptor descriptor;
  descriptor.media_type = oci::media_type::kOciLayerGzip;
  descriptor.digest = key.layer;
  descriptor.size_bytes = size_bytes;
  counters.requests.fetch_add(1, std::memory_order_relaxed);
  StatusOr<oci::OpenedBlob> blob = source.OpenBlob(descriptor, kTailBytes);
  if (!blob.ok()) {
    return Annotate(blob.status(), name);
  }
  counters.bytes.fetch_add(blob->tail.size(), std::memory_order_relaxed);
  const uint64_t blob_size = blob->reader->SizeBytes();
  if ((size_bytes != 0 && blob_size != size_bytes) ||
      blob->tail.size() != std::min(kTailBytes, blob_size)) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: {} bytes long instead of {}", name, blob_size, size_bytes));
  }
  const StatusOr<LayerIndex> index = IndexBlob(*blob, key.toc, counters);
  if (!index.ok()) {
    return Annotate(index.status(), name);
  }
  ASSIGN_OR_RETURN(std::shared_ptr<store::StoredLayer> stored,
                   layers.Create(key, index->info, index->image, index->chunk_table));
  return OpenedLayer{.stored = std::move(stored), .reader = std::move(blob->reader)};
}

}  // namespace starling::layer
