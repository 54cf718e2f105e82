#include "layer/toc_fetch.h"

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

}  // namespace

StatusOr<FetchedToc> FetchToc(const oci::OpenedBlob& blob, const estargz::TocLimits& limits,
                              FetchCounters& counters) {
  ASSIGN_OR_RETURN(const estargz::Footer footer,
                   estargz::ParseFooter(blob.tail, blob.reader->SizeBytes()));
  if (footer.kind != estargz::FooterKind::kEstargz) {
    return MakeError(StatusCode::kUnimplemented,
                     "a stargz layer of the old format, which cannot be verified");
  }
  ASSIGN_OR_RETURN(const Bytes member, ReadTocMember(blob, footer, limits, counters));
  ASSIGN_OR_RETURN(estargz::TocJson json, estargz::ExtractToc(member, limits));
  return FetchedToc{.json = std::move(json), .footer = footer};
}

StatusOr<estargz::LayerTree> BuildTree(FetchedToc toc, const estargz::TocLimits& limits) {
  ASSIGN_OR_RETURN(estargz::Toc parsed, estargz::Toc::Parse(toc.json.json, limits));
  toc.json.json = {};  // tens of megabytes for a large layer
  return estargz::LayerTree::Build(std::move(parsed), toc.footer.toc_offset, limits);
}

}  // namespace starling::layer
