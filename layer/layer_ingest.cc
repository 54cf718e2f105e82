#include "layer/layer_ingest.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "estargz/decompress.h"
#include "estargz/footer.h"
#include "estargz/layer_tree.h"
#include "estargz/tar.h"
#include "layer/content_packer.h"
#include "layer/layer_opener.h"
#include "layer/toc_fetch.h"

namespace starling::layer {
namespace {

constexpr size_t kDrainBytes = 64 << 10;

bool IsLazyFormat(const oci::OpenedBlob& blob) {
  return estargz::ParseFooter(blob.tail, blob.reader->SizeBytes()).ok();
}

/// Whatever stands behind the compressed tar is covered by the digest, too.
Status Drain(ByteSource& source) {
  Bytes dropped(kDrainBytes);
  for (size_t count = 1; count > 0;) {
    ASSIGN_OR_RETURN(count, source.Read(dropped));
  }
  return OkStatus();
}

}  // namespace

Status LayerIngest::Run(oci::ImageSource& source, const std::string& host, const oci::Digest& layer,
                        uint64_t size_bytes, Formats formats) {
  const std::string name = fmt::format("layer {}", layer.ToString());
  oci::Descriptor descriptor;
  descriptor.media_type = oci::media_type::kOciLayerGzip;
  descriptor.digest = layer;
  descriptor.size_bytes = size_bytes;
  dependencies_.counters.CountRequest(Purpose::kWhole);
  // The tail tells the size and the format; a small layer is all in it.
  StatusOr<oci::OpenedBlob> blob = source.OpenBlob(descriptor, kTailBytes);
  if (!blob.ok()) {
    return Annotate(blob.status(), name);
  }
  dependencies_.counters.CountBytes(Purpose::kWhole, blob->tail.size());
  const uint64_t blob_bytes = blob->reader->SizeBytes();
  if ((size_bytes != 0 && blob_bytes != size_bytes) ||
      blob->tail.size() != std::min(kTailBytes, blob_bytes)) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: {} bytes long instead of {}", name, blob_bytes, size_bytes));
  }
  if (formats == Formats::kPlainOnly && IsLazyFormat(*blob)) {
    return MakeError(StatusCode::kFailedPrecondition, fmt::format("{}: not a plain one", name));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<RangeStream> stream, OpenStream(*std::move(blob), host));
  ASSIGN_OR_RETURN(writer_, dependencies_.layers.Begin({.layer = layer, .toc = layer}));
  Status status = Ingest(*stream, blob_bytes);
  if (status.ok() && stream->Finish() != layer) {
    status = MakeError(StatusCode::kDataLoss, "the blob is not what its digest says");
  }
  if (!status.ok()) {
    writer_.reset();
    description_.reset();
  } else if (description_) {
    description_->layer = layer;
  }
  return Annotate(status, name);
}

StatusOr<std::shared_ptr<RangeStream>> LayerIngest::OpenStream(oci::OpenedBlob blob,
                                                               const std::string& host) {
  auto stream = std::make_shared<RangeStream>(std::move(blob), host, dependencies_.scheduler,
                                              dependencies_.counters, options_.ranges);
  MutexLock lock(mutex_);
  if (cancelled_) {
    return MakeError(StatusCode::kCancelled, "the layer is not wanted any more");
  }
  stream_ = stream;
  return stream;
}

Status LayerIngest::Ingest(ByteSource& blob, uint64_t blob_bytes) {
  std::string json;
  std::vector<PlacedFile> placed;
  using estargz::DecompressedTar;
  DecompressedTar decompressed(blob, dependencies_.keep_description
                                         ? DecompressedTar::GzipPoints::kNote
                                         : DecompressedTar::GzipPoints::kIgnore);
  {
    estargz::TarReader tar(decompressed);
    // Reads a first part, by which it is known what the blob is.
    ASSIGN_OR_RETURN(std::optional<estargz::TarEntry> entry, tar.Next());
    ContentPacker packer(*writer_, dependencies_.cpu, options_.max_data_bytes,
                         decompressed.gzip_indexer());
    while (entry) {
      RETURN_IF_ERROR(packer.Add(*std::move(entry), tar.tar_offset(), tar));
      ASSIGN_OR_RETURN(entry, tar.Next());
    }
    RETURN_IF_ERROR(Drain(blob));
    ASSIGN_OR_RETURN(json, packer.Finish());
    placed = packer.placed();
  }
  const estargz::TocLimits limits;
  ASSIGN_OR_RETURN(estargz::Toc toc, estargz::Toc::Parse(AsBytes(json), limits));
  if (estargz::GzipIndexer* const indexer = decompressed.gzip_indexer()) {
    toc.JoinMembers([indexer](uint64_t blob_offset) {
      return std::ranges::lower_bound(indexer->points(), blob_offset, {},
                                      &estargz::GzipPoint::blob_offset)
          ->tar_offset;
    });
    NoteDescription(*indexer, std::move(json));
  }
  json = {};
  ASSIGN_OR_RETURN(const estargz::LayerTree tree,
                   estargz::LayerTree::Build(std::move(toc), blob_bytes, limits));
  ASSIGN_OR_RETURN(index_, BuildIndexOfPlaced(tree, blob_bytes, placed));
  return OkStatus();
}

/// A layer without a description is none the worse.
void LayerIngest::NoteDescription(estargz::GzipIndexer& indexer, std::string json) {
  StatusOr<Bytes> seek_index = indexer.Finish();
  if (!seek_index.ok()) {
    log::Debug("a gzip layer gets no seek index", {{"error", Describe(seek_index.status())}});
    return;
  }
  description_ = {.layer = {},
                  .blob_size_bytes = indexer.blob_bytes(),
                  .seek_index = *std::move(seek_index),
                  .toc_json = std::move(json)};
}

void LayerIngest::Cancel() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  if (stream_) {
    stream_->Cancel();
  }
}

void LayerIngest::HandOverDescription() {
  if (auto description = std::exchange(description_, std::nullopt)) {
    dependencies_.keep_description(*std::move(description));
  }
}

StatusOr<std::shared_ptr<store::StoredLayer>> LayerIngest::Commit() {
  const std::unique_ptr<store::LayerWriter> writer = std::move(writer_);
  const LayerIndex index = std::exchange(index_, {});
  ASSIGN_OR_RETURN(std::shared_ptr<store::StoredLayer> stored,
                   writer->Commit(index.info, index.image, index.chunk_table));
  HandOverDescription();
  return stored;
}

Status LayerIngest::PutMissing(store::StoredLayer& stored) {
  const std::unique_ptr<store::LayerWriter> writer = std::move(writer_);
  const LayerIndex index = std::exchange(index_, {});
  ASSIGN_OR_RETURN(const ChunkTable held, ChunkTable::Open(stored.chunk_table()));
  ASSIGN_OR_RETURN(const ChunkTable fetched, ChunkTable::Open(index.chunk_table));
  // By digest: another version of this program may have placed the same files otherwise.
  std::map<oci::Digest::Value, std::vector<uint32_t>> missing;
  for (uint32_t chunk = 0; chunk < held.chunks().size(); ++chunk) {
    if (!stored.IsPresent(chunk)) {
      missing[held.chunks()[chunk].digest].push_back(chunk);
    }
  }
  for (const ChunkRecord& from : fetched.chunks()) {
    const auto found = missing.find(from.digest);
    if (found == missing.end()) {
      continue;
    }
    Bytes bytes(from.size_bytes);
    RETURN_IF_ERROR(writer->Read(from.data_address, bytes));
    for (const uint32_t chunk : found->second) {
      RETURN_IF_ERROR(
          stored.Put(chunk, held.chunks()[chunk].data_address, bytes, oci::Digest(from.digest)));
    }
    missing.erase(found);
  }
  if (!missing.empty()) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("layer {}: chunks of the stored one are not in its blob",
                                 stored.key().layer.ToString()));
  }
  HandOverDescription();
  return OkStatus();
}

}  // namespace starling::layer
