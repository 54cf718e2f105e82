/// Layers that cannot be read lazily, taken into the store in one pass over their blob.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "base/mutex.h"
#include "estargz/gzip_layer_index.h"
#include "layer/content_packer.h"
#include "layer/fetch_scheduler.h"
#include "layer/index_builder.h"
#include "layer/lazy_layer.h"
#include "layer/range_stream.h"
#include "oci/image_store.h"
#include "store/layer_store.h"

namespace starling::layer {

/// One plain layer (a tar, as it is or compressed by gzip or zstd) on its way into the store: its
/// blob is fetched in parallel ranges while it is decoded, its files written and its index made.
/// The tree is that of the same tar as eStargz. Nothing of it is in the store before Commit, which
/// follows only after the blob's digest was checked.
/// Threads: one calls Run, then Commit, or Restore; Cancel is safe.
class LayerIngest {
 public:
  struct Options {
    RangeStream::Options ranges;
    /// What the layer's files may take on the disk: more is kResourceExhausted.
    uint64_t max_data_bytes = UINT64_MAX;
  };
  struct Dependencies {
    store::LayerStore& layers;
    Executor& cpu;  // hashes and writes the files' content
    FetchCounters& counters;
    std::shared_ptr<FetchScheduler> scheduler;  // may be null
    /// Called by Commit with what describes a gzip layer, so that it can be lazy the next time.
    /// Null: nobody wants it, and it is not gathered.
    std::function<void(estargz::GzipLayerIndex::Parts)> keep_description = nullptr;
    /// Called when the store or the disk has no room for so many bytes, on several threads at once;
    /// blocks for the disk. False when there is no more by that. Null: nobody makes room.
    std::function<bool(uint64_t size_bytes)> make_room = nullptr;
  };
  /// Which blobs to take.
  enum class Formats {
    kAll,
    kPlainOnly,  // kFailedPrecondition for one of a lazy format
  };

  /// Borrows what is in `dependencies` for its life.
  LayerIngest(const Dependencies& dependencies, const Options& options)
      : dependencies_(dependencies), options_(options) {}

  /// Fetches and decodes the blob `layer` of `size_bytes` (0: unknown) from `host`. Blocks until
  /// that is done.
  /// Errors: kDataLoss for a blob that is not what its digest says or no good tar;
  /// kUnimplemented for what containerd cannot unpack either; kResourceExhausted beyond a limit or
  /// with a full disk; kCancelled; else those of the source.
  Status Run(oci::ImageSource& source, const std::string& host, const oci::Digest& layer,
             uint64_t size_bytes, Formats formats = Formats::kAll);
  /// Makes Run end soon.
  void Cancel();
  /// After a Run without error, once. Its bytes had the layer's digest, so a description that it
  /// hands over is as true as one of `starling index create`, and the same.
  StatusOr<std::shared_ptr<store::StoredLayer>> Commit();
  /// Takes a chunk that the disk does not; several at once, on any thread.
  using Spill = std::function<void(uint32_t chunk, ByteSpan bytes)>;
  /// In the place of Run and Commit, for a layer that is stored and has lost some of its chunks:
  /// puts those as they come, and takes no other room. Errors: those of Run; kDataLoss when
  /// `stored` is another layer. Others of Put are no errors: `spill` gets the verified chunk.
  Status Restore(oci::ImageSource& source, const std::string& host, store::StoredLayer& stored,
                 const Spill& spill);

 private:
  struct Missing;
  enum class Points { kNote, kIgnore };
  /// What becomes of a blob.
  struct Plan {
    ContentPacker::WriteBatch write;
    uint64_t max_data_bytes = 0;
    Points points = Points::kIgnore;
    bool is_indexed = false;
  };
  Points points() const { return dependencies_.keep_description ? Points::kNote : Points::kIgnore; }
  Status Take(oci::ImageSource& source, const std::string& host, const oci::Digest& layer,
              uint64_t size_bytes, Formats formats, const Plan& plan);
  Status Ingest(ByteSource& blob, uint64_t blob_bytes, const Plan& plan);
  Status WithRoom(uint64_t size_bytes, const std::function<Status()>& write);
  void NoteDescription(estargz::GzipIndexer& indexer, std::string json);
  void HandOverDescription();
  StatusOr<std::shared_ptr<RangeStream>> OpenStream(oci::OpenedBlob blob, const std::string& host);

  const Dependencies dependencies_;
  const Options options_;

  std::unique_ptr<store::LayerWriter> writer_;
  LayerIndex index_;
  std::atomic<bool> makes_room_ = true;  // until there was none to make
  std::optional<estargz::GzipLayerIndex::Parts> description_;

  Mutex mutex_;  // above the stream's
  bool cancelled_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<RangeStream> stream_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
