#include "layer/toc_fetch.h"

namespace starling::layer {
namespace {

/// A range of the blob: out of the tail as far as that goes, else with a request.
StatusOr<Bytes> ReadRange(const oci::OpenedBlob& blob, oci::BlobRange range,
                          FetchCounters& counters) {
  const uint64_t tail_offset = blob.reader->SizeBytes() - blob.tail.size();
  if (range.blob_offset >= tail_offset) {
    const ByteSpan held =
        ByteSpan(blob.tail).subspan(range.blob_offset - tail_offset, range.size_bytes);
    return Bytes(held.begin(), held.end());
  }
  // Only what the tail does not have.
  const uint64_t fetched_bytes = std::min(tail_offset - range.blob_offset, range.size_bytes);
  counters.CountRequest(Purpose::kIndex);
  ASSIGN_OR_RETURN(Bytes bytes, blob.reader->ReadAndWait({.blob_offset = range.blob_offset,
                                                          .size_bytes = fetched_bytes}));
  counters.CountBytes(Purpose::kIndex, bytes.size());
  const ByteSpan rest = ByteSpan(blob.tail).first(range.size_bytes - fetched_bytes);
  Append(bytes, rest);
  return bytes;
}

/// The TOC as it is stored: in the blob or in another image.
StatusOr<Bytes> ReadCompressed(const oci::OpenedBlob& blob, const estargz::Footer& footer,
                               const WantedToc& wanted, const estargz::TocLimits& limits,
                               FetchCounters& counters) {
  if (footer.kind == estargz::FooterKind::kExternalToc) {
    if (wanted.toc_image == nullptr) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "the layer's TOC is in another image, and none is known");
    }
    counters.CountRequest(Purpose::kIndex);
    ASSIGN_OR_RETURN(Bytes bytes, wanted.toc_image->Read(wanted.layer, limits));
    counters.CountBytes(Purpose::kIndex, bytes.size());
    return bytes;
  }
  if (footer.toc_bytes > limits.compressed_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("a TOC of {} compressed bytes, more than the limit of {}",
                                 footer.toc_bytes, limits.compressed_bytes));
  }
  return ReadRange(blob, {.blob_offset = footer.toc_offset, .size_bytes = footer.toc_bytes},
                   counters);
}

Status Compare(const WantedToc& wanted, oci::TocDigestOf of, const oci::Digest& actual) {
  if (!wanted.promised || wanted.promised->of != of || wanted.promised->digest == actual) {
    return OkStatus();
  }
  return MakeError(StatusCode::kDataLoss,
                   fmt::format("the TOC's digest is {}, but {} was promised", actual.ToString(),
                               wanted.promised->digest.ToString()));
}

}  // namespace

StatusOr<FetchedToc> FetchToc(const oci::OpenedBlob& blob, const WantedToc& wanted,
                              const estargz::TocLimits& limits, FetchCounters& counters) {
  FetchedToc toc;
  ASSIGN_OR_RETURN(toc.footer, estargz::ParseFooter(blob.tail, blob.reader->SizeBytes()));
  if (toc.footer.kind == estargz::FooterKind::kLegacyStargz) {
    return MakeError(StatusCode::kUnimplemented,
                     "a stargz layer of the old format: its TOC has no digests of the content, so "
                     "that nothing could be verified; starling convert makes it eStargz");
  }
  ASSIGN_OR_RETURN(const Bytes compressed,
                   ReadCompressed(blob, toc.footer, wanted, limits, counters));
  toc.compressed_digest = oci::Digest::Of(compressed);
  // Before it is unpacked, if it can be.
  RETURN_IF_ERROR(Compare(wanted, oci::TocDigestOf::kCompressed, toc.compressed_digest));
  if (estargz::IsZstd(toc.footer.kind)) {
    ASSIGN_OR_RETURN(toc.json, estargz::ExtractZstdToc(compressed, toc.footer.json_bytes, limits));
  } else {
    ASSIGN_OR_RETURN(toc.json, estargz::ExtractToc(compressed, limits));
  }
  RETURN_IF_ERROR(Compare(wanted, oci::TocDigestOf::kJson, toc.json.digest));
  return toc;
}

StatusOr<estargz::LayerTree> BuildTree(FetchedToc toc, const estargz::TocLimits& limits) {
  ASSIGN_OR_RETURN(estargz::Toc parsed, estargz::Toc::Parse(toc.json, limits));
  toc.json = {};  // tens of megabytes for a large layer
  return estargz::LayerTree::Build(std::move(parsed), toc.footer.payload_end, limits);
}

}  // namespace starling::layer
