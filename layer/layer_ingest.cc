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
constexpr int kTriesToMakeRoom = 8;

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
  ASSIGN_OR_RETURN(writer_, dependencies_.layers.Begin({.layer = layer, .toc = layer}));
  const Status status = Take(source, host, layer, size_bytes, formats,
                             {.write =
                                  [this](uint64_t data_address, ByteSpan batch,
                                         std::span<const ContentPacker::Chunk> chunks) {
                                    uint64_t padding_bytes = batch.size();
                                    for (const ContentPacker::Chunk& chunk : chunks) {
                                      padding_bytes -= chunk.size_bytes;
                                    }
                                    return WithRoom(batch.size(), [&] {
                                      return writer_->Write(data_address, batch, padding_bytes);
                                    });
                                  },
                              .max_data_bytes = options_.max_data_bytes,
                              .points = points(),
                              .is_indexed = true});
  if (!status.ok()) {
    writer_.reset();
  }
  return status;
}

/// Fetches the blob and checks its digest.
Status LayerIngest::Take(oci::ImageSource& source, const std::string& host,
                         const oci::Digest& layer, uint64_t size_bytes, Formats formats,
                         const Plan& plan) {
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
  Status status = Ingest(*stream, blob_bytes, plan);
  if (status.ok() && stream->Finish() != layer) {
    status = MakeError(StatusCode::kDataLoss, "the blob is not what its digest says");
  }
  if (!status.ok()) {
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

/// Once more after room was made, which others may take first.
Status LayerIngest::WithRoom(uint64_t size_bytes, const std::function<Status()>& write) {
  Status status = write();
  for (int tries = 0;
       status.code() == StatusCode::kResourceExhausted && dependencies_.make_room && makes_room_;
       ++tries) {
    if (tries < kTriesToMakeRoom && dependencies_.make_room(size_bytes)) {
      status = write();
    } else {
      makes_room_ = false;
    }
  }
  return status;
}

Status LayerIngest::Ingest(ByteSource& blob, uint64_t blob_bytes, const Plan& plan) {
  std::string json;
  std::vector<PlacedFile> placed;
  using estargz::DecompressedTar;
  DecompressedTar decompressed(blob, plan.points == Points::kNote
                                         ? DecompressedTar::GzipPoints::kNote
                                         : DecompressedTar::GzipPoints::kIgnore);
  {
    estargz::TarReader tar(decompressed);
    // Reads a first part, by which it is known what the blob is.
    ASSIGN_OR_RETURN(std::optional<estargz::TarEntry> entry, tar.Next());
    ContentPacker packer(plan.write, dependencies_.cpu, plan.max_data_bytes,
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
  if (!plan.is_indexed) {
    return OkStatus();
  }
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
  auto description = std::exchange(description_, std::nullopt);
  if (description && dependencies_.keep_description) {
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

/// The chunks that a stored layer has lost, by their digests: another version of this program may
/// have placed the same files otherwise. Threads: safe.
struct LayerIngest::Missing {
  Mutex mutex;  // leaf
  std::map<oci::Digest::Value, std::vector<uint32_t>> chunks GUARDED_BY(mutex);

  std::vector<uint32_t> Extract(const oci::Digest::Value& digest) {
    const MutexLock lock(mutex);
    auto found = chunks.extract(digest);
    return found ? std::move(found.mapped()) : std::vector<uint32_t>();
  }
  bool empty() {
    const MutexLock lock(mutex);
    return chunks.empty();
  }
};

Status LayerIngest::Restore(oci::ImageSource& source, const std::string& host,
                            store::StoredLayer& stored, const Spill& spill) {
  ASSIGN_OR_RETURN(const ChunkTable table, ChunkTable::Open(stored.chunk_table()));
  Missing missing;
  {
    const MutexLock lock(missing.mutex);
    for (uint32_t chunk = 0; chunk < table.chunks().size(); ++chunk) {
      if (!stored.IsPresent(chunk)) {
        missing.chunks[table.chunks()[chunk].digest].push_back(chunk);
      }
    }
  }
  Plan plan{.write =
                [&](uint64_t, ByteSpan batch, std::span<const ContentPacker::Chunk> chunks) {
                  for (const ContentPacker::Chunk& from : chunks) {
                    const ByteSpan bytes = batch.subspan(from.begin, from.size_bytes);
                    for (const uint32_t chunk : missing.Extract(from.digest.value())) {
                      const Status put = WithRoom(bytes.size(), [&] {
                        return stored.Put(chunk, table.chunks()[chunk].data_address, bytes,
                                          from.digest);
                      });
                      if (!put.ok()) {
                        spill(chunk, bytes);
                      }
                    }
                  }
                  return OkStatus();
                },
            // Twice what its files take, for the same reason.
            .max_data_bytes = 2 * stored.info().data_size_bytes,
            .points = points()};
  const oci::Digest& layer = stored.key().layer;
  const uint64_t blob_bytes = stored.info().blob_size_bytes;
  RETURN_IF_ERROR(Take(source, host, layer, blob_bytes, Formats::kAll, plan));
  if (!missing.empty()) {
    // It was stored when descriptions were kept and are not any more, or the other way round: its
    // chunks end elsewhere.
    plan.points = plan.points == Points::kNote ? Points::kIgnore : Points::kNote;
    RETURN_IF_ERROR(Take(source, host, layer, blob_bytes, Formats::kAll, plan));
  }
  if (!missing.empty()) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("layer {}: chunks of the stored one are not in its blob", layer.ToString()));
  }
  HandOverDescription();
  return OkStatus();
}

}  // namespace starling::layer
