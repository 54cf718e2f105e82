#include "inspect/inspect.h"

#include <sys/stat.h>

#include <algorithm>

#include "estargz/footer.h"
#include "estargz/layer_tree.h"
#include "layer/chunk_table.h"
#include "layer/index_builder.h"
#include "layer/toc_fetch.h"
#include "oci/toc_digest.h"

namespace starling::inspect {
namespace {

// Where a tar header says "ustar". Source: POSIX.1-2001, pax, "ustar Interchange Format".
constexpr size_t kUstarMagicAt = 257;
constexpr std::string_view kUstarMagic = "ustar";
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr uint64_t kHeadBytes = 512;

LayerFormat FormatOf(std::string_view head) {
  if (head.starts_with(kGzipMagic)) {
    return LayerFormat::kGzip;
  }
  if (head.starts_with(kZstdMagic)) {
    return LayerFormat::kZstd;
  }
  if (head.size() > kUstarMagicAt && head.substr(kUstarMagicAt).starts_with(kUstarMagic)) {
    return LayerFormat::kTar;
  }
  return LayerFormat::kUnknown;
}

StatusOr<LayerFormat> FormatFromHead(const oci::OpenedBlob& blob) {
  const uint64_t head_bytes = std::min(kHeadBytes, blob.reader->SizeBytes());
  if (blob.tail.size() == blob.reader->SizeBytes()) {
    return FormatOf(AsText(ByteSpan(blob.tail).first(head_bytes)));
  }
  ASSIGN_OR_RETURN(const Bytes head,
                   blob.reader->ReadAndWait({.blob_offset = 0, .size_bytes = head_bytes}));
  return FormatOf(AsText(head));
}

std::string NotSeekable(LayerFormat format) {
  return fmt::format(
      "an ordinary {} layer has no table of contents: starling convert makes it "
      "eStargz",
      NameOf(format));
}

void CountTree(const estargz::LayerTree& tree, LayerReport& report) {
  report.files = tree.inodes().size();
  for (const estargz::Inode& inode : tree.inodes()) {
    report.content_bytes += S_ISREG(inode.mode) ? inode.size_bytes : 0;
  }
  if (tree.no_prefetch()) {
    report.landmark = Landmark::kNoPrefetch;
  } else if (tree.prefetch_end()) {
    report.landmark = Landmark::kPrefetch;
    report.prefetch_bytes = *tree.prefetch_end();
  }
}

/// What reads of the layer will cost, by the table that they go by.
Status CountChunks(const estargz::LayerTree& tree, uint64_t blob_bytes, layer::Codec codec,
                   LayerReport& report) {
  ASSIGN_OR_RETURN(const layer::LayerIndex index, layer::BuildIndex(tree, blob_bytes, codec));
  ASSIGN_OR_RETURN(const layer::ChunkTable table, layer::ChunkTable::Open(index.chunk_table));
  report.data_bytes = table.data_size_bytes();
  report.chunks = table.chunks().size();
  for (const layer::ChunkRecord& chunk : table.chunks()) {
    report.largest_chunk_bytes = std::max(report.largest_chunk_bytes, chunk.size_bytes);
    report.huge_chunks += chunk.size_bytes > estargz::kDefaultChunkBytes ? 1 : 0;
  }
  for (const layer::MemberRecord& member : table.members()) {
    report.largest_member_bytes = std::max(report.largest_member_bytes, member.blob_size);
  }
  return OkStatus();
}

/// The format that the footer tells; the one without a footer, when it tells nothing.
LayerFormat FormatOf(const oci::OpenedBlob& blob, const oci::Descriptor& layer,
                     LayerFormat without_footer) {
  const StatusOr<estargz::Footer> footer =
      estargz::ParseFooter(blob.tail, blob.reader->SizeBytes());
  if (!footer.ok()) {
    return without_footer;
  }
  switch (footer->kind) {
    case estargz::FooterKind::kEstargz:
      return LayerFormat::kEstargz;
    case estargz::FooterKind::kLegacyStargz:
      return LayerFormat::kLegacyStargz;
    case estargz::FooterKind::kExternalToc:
      return LayerFormat::kEstargzExternalToc;
    case estargz::FooterKind::kZstdChunked:
      // The first footer of containers/storage was stargz'; who wrote it shows in the manifest.
      return layer.annotations.contains(std::string(oci::annotation::kTocDigest))
                 ? LayerFormat::kZstdChunked
                 : LayerFormat::kZstdChunkedContainers;
    case estargz::FooterKind::kZstdChunkedTarSplit:
      return LayerFormat::kZstdChunkedContainers;
  }
  return without_footer;
}

/// Why the annotations do not vouch for the TOC that the blob has; empty when they do.
std::string AnnotationFault(const oci::Descriptor& layer, const layer::FetchedToc& toc) {
  const StatusOr<oci::TocDigest> promised = oci::FindTocDigest(layer.annotations);
  if (!promised.ok()) {
    return std::string(MessageOf(promised.status()));
  }
  const oci::Digest& actual =
      promised->of == oci::TocDigestOf::kJson ? toc.json.digest : toc.compressed_digest;
  return promised->digest == actual
             ? std::string()
             : fmt::format("the manifest promises the TOC {}", promised->digest.ToString());
}

/// What the digest's place asks of those who pull.
std::string NoteOn(const oci::Descriptor& layer) {
  const StatusOr<oci::TocDigest> promised = oci::FindTocDigest(layer.annotations);
  return promised.ok() && promised->of == oci::TocDigestOf::kCompressed
             ? "with starling pull and starling mount: containerd's own clients do not pass the "
               "annotations of this format on"
             : std::string();
}

StatusOr<LayerReport> InspectLayer(oci::ImageSource& source, const oci::Descriptor& layer,
                                   layer::TocImage* toc_image) {
  LayerReport report{.descriptor = layer};
  if (!oci::media_type::IsLayer(layer.media_type)) {
    report.reason = fmt::format("media type {} is no layer that can be mounted", layer.media_type);
    return report;
  }
  ASSIGN_OR_RETURN(const oci::OpenedBlob blob, source.OpenBlob(layer, layer::kTailBytes));
  layer::FetchCounters counters;
  StatusOr<layer::FetchedToc> toc = layer::FetchToc(
      blob, {.layer = layer.digest, .promised = {}, .toc_image = toc_image}, {}, counters);
  if (!toc.ok()) {
    ASSIGN_OR_RETURN(const LayerFormat ordinary, FormatFromHead(blob));
    report.format = FormatOf(blob, layer, ordinary);
    report.reason = report.format == ordinary && toc.status().code() == StatusCode::kNotFound
                        ? NotSeekable(ordinary)
                        : std::string(MessageOf(toc.status()));
    return report;
  }
  report.format = FormatOf(blob, layer, LayerFormat::kUnknown);
  report.toc_digest = toc->json.digest;
  report.reason = AnnotationFault(layer, *toc);
  report.toc_bytes = toc->footer.toc_bytes;
  const layer::Codec codec =
      estargz::IsZstd(toc->footer.kind) ? layer::Codec::kZstd : layer::Codec::kGzip;
  const StatusOr<estargz::LayerTree> tree = layer::BuildTree(*std::move(toc), {});
  if (!tree.ok()) {
    report.reason = MessageOf(tree.status());
  } else {
    CountTree(*tree, report);
    const Status counted = CountChunks(*tree, blob.reader->SizeBytes(), codec, report);
    if (!counted.ok()) {
      report.reason = MessageOf(counted);
    }
  }
  report.lazy = report.reason.empty();
  if (report.lazy) {
    report.note = NoteOn(layer);
  }
  return report;
}

}  // namespace

std::string_view NameOf(LayerFormat format) {
  switch (format) {
    case LayerFormat::kEstargz:
      return "eStargz";
    case LayerFormat::kEstargzExternalToc:
      return "eStargz with its TOC in another image";
    case LayerFormat::kLegacyStargz:
      return "stargz";
    case LayerFormat::kZstdChunked:
      return "zstd:chunked";
    case LayerFormat::kZstdChunkedContainers:
      return "zstd:chunked of containers/storage";
    case LayerFormat::kGzip:
      return "gzip";
    case LayerFormat::kZstd:
      return "zstd";
    case LayerFormat::kTar:
      return "tar";
    case LayerFormat::kUnknown:
      break;
  }
  return "unknown";
}

bool ImageReport::lazy() const {
  return !layers.empty() && std::all_of(layers.begin(), layers.end(),
                                        [](const LayerReport& layer) { return layer.lazy; });
}

uint64_t ImageReport::size_bytes() const {
  uint64_t sum_bytes = 0;
  for (const LayerReport& layer : layers) {
    sum_bytes += layer.descriptor.size_bytes;
  }
  return sum_bytes;
}

StatusOr<ImageReport> InspectImage(oci::ImageSource& source, const oci::Platform& platform,
                                   layer::TocImage* toc_image) {
  ASSIGN_OR_RETURN(const oci::SelectedImage image, oci::SelectImage(source, platform));
  ImageReport report{.name = source.Name(),
                     .target = image.top.digest,
                     .manifest = image.raw_manifest.digest,
                     .layers = {}};
  for (const oci::Descriptor& layer : image.manifest.layers) {
    StatusOr<LayerReport> inspected = InspectLayer(source, layer, toc_image);
    if (!inspected.ok()) {
      return Annotate(inspected.status(), fmt::format("layer {}", layer.digest.ToString()));
    }
    report.layers.push_back(*std::move(inspected));
  }
  return report;
}

}  // namespace starling::inspect
