#include "dockerfile/build/layer_format.h"

#include <array>
#include <utility>

#include "convert/layer_conversion.h"
#include "estargz/plain_layer.h"
#include "estargz/writer.h"

namespace starling::dockerfile::build {
namespace {

constexpr std::array<std::pair<std::string_view, Compression>, 5> kNames = {
    {{"estargz", Compression::kEstargz},
     {"zstdchunked", Compression::kZstdChunked},
     {"gzip", Compression::kGzip},
     {"zstd", Compression::kZstd},
     {"uncompressed", Compression::kUncompressed}}};

/// Of layers that nobody reads lazily.
std::optional<estargz::PlainCompression> PlainOf(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return estargz::PlainCompression::kGzip;
    case Compression::kZstd:
      return estargz::PlainCompression::kZstd;
    case Compression::kUncompressed:
      return estargz::PlainCompression::kNone;
    default:
      return std::nullopt;
  }
}

std::string_view MediaTypeOf(estargz::PlainCompression compression) {
  switch (compression) {
    case estargz::PlainCompression::kGzip:
      return oci::media_type::kOciLayerGzip;
    case estargz::PlainCompression::kZstd:
      return oci::media_type::kOciLayerZstd;
    default:
      return oci::media_type::kOciLayerTar;
  }
}

}  // namespace

StatusOr<Compression> ParseCompression(std::string_view text) {
  if (text == "zstd:chunked") {
    return Compression::kZstdChunked;
  }
  for (const auto& [name, compression] : kNames) {
    if (name == text) {
      return compression;
    }
  }
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("compression \"{}\" is not one of estargz, zstdchunked, gzip, zstd, "
                               "uncompressed",
                               text));
}

std::string_view NameOf(Compression compression) {
  for (const auto& [name, known] : kNames) {
    if (known == compression) {
      return name;
    }
  }
  return "";
}

StatusOr<WrittenBlob> WriteBlob(ByteSource& tar, ByteSink& blob, const LayerFormat& format) {
  if (const auto plain = PlainOf(format.compression)) {
    ASSIGN_OR_RETURN(const estargz::PlainLayer layer,
                     estargz::WritePlainLayer(tar, blob, *plain, format.level));
    return WrittenBlob{.descriptor = {.media_type = std::string(MediaTypeOf(*plain)),
                                      .digest = layer.digest,
                                      .size_bytes = layer.size_bytes},
                       .diff_id = layer.diff_id};
  }
  const estargz::WriteOptions options = {.format = format.compression == Compression::kEstargz
                                                       ? estargz::WriteFormat::kEstargz
                                                       : estargz::WriteFormat::kStargzZstd,
                                         .compression_level = format.level,
                                         .threads = format.threads,
                                         .prioritized_files = format.read_first};
  ASSIGN_OR_RETURN(const estargz::WrittenLayer layer, estargz::WriteLayer(tar, blob, options));
  return WrittenBlob{.descriptor = convert::DescribeConverted({}, layer), .diff_id = layer.diff_id};
}

}  // namespace starling::dockerfile::build
