#include "estargz/gzip_layer_index.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "estargz/tar.h"
#include "estargz/toc_writer.h"

namespace starling::estargz {
namespace {

static_assert(std::endian::native == std::endian::little, "the header is copied as it is stored");

constexpr std::array<char, 8> kMagic = {'S', 'T', 'A', 'R', 'G', 'Z', 'I', 'X'};
constexpr uint32_t kVersion = 1;
constexpr int kTocLevel = 9;
constexpr size_t kPieceBytes = 64 << 10;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t reserved = 0;
  oci::Digest::Value layer{};
  uint64_t blob_size_bytes = 0;
  uint64_t seek_index_bytes = 0;
  uint64_t toc_bytes = 0;
  uint64_t toc_json_bytes = 0;
};
static_assert(sizeof(Header) == 80);

Status Broken(std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("gzip layer index: {}", what));
}

/// Turns the entries of a tar into a TOC, chunks cut where points lie.
class TocMaker {
 public:
  TocMaker(ByteSource& blob, const GzipIndexOptions& options)
      : indexer_(blob, options.spacing_bytes),
        tar_(indexer_),
        chunk_size_bytes_(options.chunk_size_bytes),
        piece_(kPieceBytes) {}

  StatusOr<std::string> Make() {
    for (;;) {
      ASSIGN_OR_RETURN(const std::optional<TarEntry> entry, tar_.Next());
      if (!entry) {
        return toc_.Finish();
      }
      if (entry->type == TarType::kRegular && entry->size_bytes > 0) {
        RETURN_IF_ERROR(AddFile(*entry));
      } else if (entry->type != TarType::kGlobalHeader) {
        RETURN_IF_ERROR(toc_.AddEntry(*entry));
      }
    }
  }
  GzipIndexer& indexer() { return indexer_; }

 private:
  /// A chunk while its bytes come.
  struct OpenChunk {
    uint64_t file_offset = 0;
    uint64_t tar_offset = 0;
    uint64_t size_bytes = 0;
    oci::Sha256 hash;
  };

  Status AddFile(const TarEntry& entry) {
    std::vector<PlacedChunk> chunks;
    OpenChunk chunk{.tar_offset = tar_.tar_offset()};
    for (uint64_t file_offset = 0; file_offset < entry.size_bytes;) {
      uint64_t tar_offset = tar_.tar_offset();
      const std::span<std::byte> piece = std::span(piece_).first(
          std::min<uint64_t>(piece_.size(), entry.size_bytes - file_offset));
      RETURN_IF_ERROR(tar_.ReadPayload(piece));
      for (ByteSpan left = piece; !left.empty();) {
        // Points up to where bytes were read are known, one right behind them perhaps not yet: so
        // it is asked for when there are bytes behind it.
        if (chunk.size_bytes > 0 &&
            (file_offset % chunk_size_bytes_ == 0 ||
             indexer_.PointAtOrBefore(tar_offset).tar_offset == tar_offset)) {
          chunks.push_back(Close(std::move(chunk)));
          chunk = {.file_offset = file_offset, .tar_offset = tar_offset};
        }
        const ByteSpan part = left.first(
            std::min<uint64_t>({left.size(), chunk_size_bytes_ - file_offset % chunk_size_bytes_,
                                indexer_.BytesToPoint(tar_offset)}));
        chunk.hash.Update(part);
        chunk.size_bytes += part.size();
        left = left.subspan(part.size());
        tar_offset += part.size();
        file_offset += part.size();
      }
    }
    chunks.push_back(Close(std::move(chunk)));
    // The digest of all of a file that has several chunks would have to be computed beside theirs,
    // and nothing is verified by it.
    const oci::Digest digest = chunks.size() == 1 ? chunks.front().digest : oci::Digest();
    return toc_.AddFile(entry, digest, chunks);
  }

  PlacedChunk Close(OpenChunk chunk) const {
    const GzipPoint& point = indexer_.PointAtOrBefore(chunk.tar_offset);
    return {.file_offset = chunk.file_offset,
            .size_bytes = chunk.size_bytes,
            .blob_offset = point.blob_offset,
            .inner_offset = chunk.tar_offset - point.tar_offset,
            .digest = chunk.hash.Finish()};
  }

  GzipIndexer indexer_;
  TarReader tar_;
  const uint64_t chunk_size_bytes_;
  Bytes piece_;
  TocWriter toc_;
};

StatusOr<Bytes> Compress(std::string_view json) {
  Bytes frame(ZSTD_compressBound(json.size()));
  const size_t stored =
      ZSTD_compress(frame.data(), frame.size(), json.data(), json.size(), kTocLevel);
  if (ZSTD_isError(stored) != 0) {
    return MakeError(StatusCode::kResourceExhausted, "zstd: no memory");
  }
  frame.resize(stored);
  return frame;
}

}  // namespace

StatusOr<GzipLayerIndex> GzipLayerIndex::Parse(Bytes bytes, const TocLimits& limits) {
  Header header;
  if (bytes.size() < sizeof header) {
    return Broken("shorter than its header");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMagic || header.version != kVersion || header.reserved != 0) {
    return Broken("unknown format or version");
  }
  if (bytes.size() > kMaxBytes || header.toc_json_bytes > limits.json_bytes ||
      header.toc_bytes > limits.compressed_bytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("gzip layer index of {}: {} bytes with a TOC of {}, {} as JSON; at most {}, {} "
                    "and {} are read: convert the image (starling convert) to make it lazy",
                    oci::Digest(header.layer).ToString(), bytes.size(), header.toc_bytes,
                    header.toc_json_bytes, kMaxBytes, limits.compressed_bytes, limits.json_bytes));
  }
  // No sum below overflows: each part was compared with a limit or with what is left.
  const uint64_t parts_bytes = bytes.size() - sizeof header;
  if (header.toc_bytes > parts_bytes || header.seek_index_bytes != parts_bytes - header.toc_bytes) {
    return Broken("its parts are not as long as it is");
  }
  GzipLayerIndex index;
  index.bytes_ = std::move(bytes);
  index.digest_ = oci::Digest::Of(index.bytes_);
  index.layer_ = oci::Digest(header.layer);
  index.blob_size_bytes_ = header.blob_size_bytes;
  index.toc_json_bytes_ = header.toc_json_bytes;
  const ByteSpan parts = ByteSpan(index.bytes_).subspan(sizeof header);
  index.seek_index_bytes_ = parts.first(header.seek_index_bytes);
  index.toc_ = parts.subspan(header.seek_index_bytes);
  ASSIGN_OR_RETURN(index.seek_index_, GzipSeekIndex::Open(index.seek_index_bytes_));
  if (index.seek_index_.blob_end() > index.blob_size_bytes_) {
    return Broken("its points leave the layer");
  }
  return index;
}

StatusOr<GzipLayerIndex> GzipLayerIndex::Make(const Parts& parts) {
  ASSIGN_OR_RETURN(const Bytes frame, Compress(parts.toc_json));
  const Header header{.layer = parts.layer.value(),
                      .blob_size_bytes = parts.blob_size_bytes,
                      .seek_index_bytes = parts.seek_index.size(),
                      .toc_bytes = frame.size(),
                      .toc_json_bytes = parts.toc_json.size()};
  const auto head = std::as_bytes(std::span(&header, 1));
  Bytes out;
  out.reserve(head.size() + parts.seek_index.size() + frame.size());
  Append(out, head);
  Append(out, parts.seek_index);
  Append(out, frame);
  return Parse(std::move(out));
}

StatusOr<TocJson> GzipLayerIndex::ReadToc(const TocLimits& limits) const {
  return ExtractZstdToc(toc_, toc_json_bytes_, limits);
}

StatusOr<GzipLayerIndex> IndexGzipLayer(ByteSource& blob, const oci::Digest& layer,
                                        const GzipIndexOptions& options) {
  if (options.spacing_bytes == 0 || options.spacing_bytes > GzipSeekIndex::kMaxSpanBytes / 2 ||
      options.chunk_size_bytes == 0) {
    return MakeError(StatusCode::kInvalidArgument, "gzip layer index: impossible options");
  }
  TocMaker toc(blob, options);
  GzipLayerIndex::Parts parts{.layer = layer};
  ASSIGN_OR_RETURN(parts.toc_json, toc.Make());
  ASSIGN_OR_RETURN(parts.seek_index, toc.indexer().Finish());
  parts.blob_size_bytes = toc.indexer().blob_bytes();
  return GzipLayerIndex::Make(parts);
}

}  // namespace starling::estargz
