#include "convert/layer_conversion.h"

#include <fcntl.h>

#include "base/byte_pipe.h"
#include "base/file_system.h"
#include "base/progress_sink.h"
#include "estargz/footer.h"
#include "oci/toc_digest.h"

namespace starling::convert {
namespace {

// Enough for the download to go on while the writer compresses a batch of chunks.
constexpr size_t kPipeBytes = 8 << 20;

// Of zstd:chunked blobs, by its two writers: they tell where things are in the former blob.
constexpr std::string_view kFormerPrefixes[] = {"io.containers.zstd-chunked.",
                                                "io.github.containers.zstd-chunked."};

estargz::FooterKind FooterOf(estargz::WriteFormat format) {
  switch (format) {
    case estargz::WriteFormat::kStargzZstd:
      return estargz::FooterKind::kZstdChunked;
    case estargz::WriteFormat::kContainersZstd:
      return estargz::FooterKind::kZstdChunkedTarSplit;
    case estargz::WriteFormat::kEstargz:
      break;
  }
  return estargz::FooterKind::kEstargz;
}

}  // namespace

StatusOr<estargz::WrittenLayer> ConvertLayer(oci::ImageSource& source, const oci::Descriptor& from,
                                             const std::filesystem::path& spool,
                                             const estargz::WriteOptions& options,
                                             Progress& progress, const std::string& part) {
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   RealFileSystem().Open(spool, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  FdSink blob(fd.get());
  StatusOr<estargz::WrittenLayer> written;
  RETURN_IF_ERROR(RunPiped(
      "layer-in", kPipeBytes,
      [&](ByteSink& pipe) {
        ProgressSink counting(pipe, progress, part);
        return source.ReadBlob(from, counting);
      },
      [&](ByteSource& pipe) {
        written = estargz::WriteLayer(pipe, blob, options);
        return written.status();
      }));
  return written;
}

std::string_view MediaTypeOf(estargz::WriteFormat format) {
  return format == estargz::WriteFormat::kEstargz ? oci::media_type::kOciLayerGzip
                                                  : oci::media_type::kOciLayerZstd;
}

oci::Descriptor DescribeConverted(const oci::Descriptor& from,
                                  const estargz::WrittenLayer& written) {
  oci::Descriptor to{.media_type = std::string(MediaTypeOf(written.format)),
                     .digest = written.digest,
                     .size_bytes = written.size_bytes};
  for (const auto& [key, value] : from.annotations) {
    bool former = key == oci::annotation::kTocDigest || key == oci::annotation::kUncompressedSize;
    for (const std::string_view prefix : kFormerPrefixes) {
      former = former || key.starts_with(prefix);
    }
    if (!former) {
      to.annotations[key] = value;
    }
  }
  const auto annotate = [&to](std::string_view key, std::string value) {
    to.annotations[std::string(key)] = std::move(value);
  };
  const std::string toc_position =
      fmt::format("{}:{}:{}:1", written.toc.blob_offset, written.toc.stored_bytes,
                  written.toc.decompressed_bytes);
  switch (written.format) {
    case estargz::WriteFormat::kStargzZstd:
      annotate(oci::annotation::kOldCompressedTocDigest, written.compressed_toc_digest.ToString());
      annotate(oci::annotation::kOldTocPosition, toc_position);
      [[fallthrough]];
    case estargz::WriteFormat::kEstargz:
      annotate(oci::annotation::kTocDigest, written.toc_digest.ToString());
      annotate(oci::annotation::kUncompressedSize, fmt::format("{}", written.uncompressed_bytes));
      break;
    case estargz::WriteFormat::kContainersZstd:
      annotate(oci::annotation::kCompressedTocDigest, written.compressed_toc_digest.ToString());
      annotate(oci::annotation::kTocPosition, toc_position);
      if (written.tar_split.stored_bytes > 0) {
        annotate(oci::annotation::kTarSplitPosition,
                 fmt::format("{}:{}:{}", written.tar_split.blob_offset,
                             written.tar_split.stored_bytes, written.tar_split.decompressed_bytes));
      }
      break;
  }
  return to;
}

StatusOr<bool> HasFormat(oci::ImageSource& source, const oci::Descriptor& layer,
                         estargz::WriteFormat format) {
  const auto promised = oci::FindTocDigest(layer.annotations);
  const oci::TocDigestOf wanted_digest = format == estargz::WriteFormat::kContainersZstd
                                             ? oci::TocDigestOf::kCompressed
                                             : oci::TocDigestOf::kJson;
  if (!promised.ok() || promised->of != wanted_digest) {
    return false;
  }
  ASSIGN_OR_RETURN(const oci::OpenedBlob blob, source.OpenBlob(layer, estargz::kMaxFooterBytes));
  const auto footer = estargz::ParseFooter(blob.tail, blob.reader->SizeBytes());
  return footer.ok() && footer->kind == FooterOf(format);
}

}  // namespace starling::convert
