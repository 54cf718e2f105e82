#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "estargz/gzip_indexer.h"
#include "estargz/tar.h"
#include "estargz/toc_writer.h"
#include "layer/index_builder.h"

namespace starling::layer {

/// Lays out the content of a tar's files as a layer's data, each file from the next multiple of
/// 4 KiB, and lists the entries as a TOC. Content is gathered into
/// batches, which are hashed and written on the executor; only a few of them are in memory.
/// Threads: one at a time.
class ContentPacker {
 public:
  /// A part of a batch.
  struct Chunk {
    size_t begin = 0;
    size_t size_bytes = 0;
    oci::Digest digest;
  };
  /// Takes a batch, which goes to `data_address`: zeros but for `chunks`. On the executor's
  /// threads, several at once.
  using WriteBatch =
      std::function<Status(uint64_t data_address, ByteSpan batch, std::span<const Chunk> chunks)>;

  /// Borrows `cpu` and `indexer` for its life. More than `max_data_bytes` is kResourceExhausted.
  /// Chunks end at the points of `indexer`, whose tar it is, and are placed by them; null: the blob
  /// is one member.
  ContentPacker(WriteBatch write, Executor& cpu, uint64_t max_data_bytes,
                const estargz::GzipIndexer* indexer = nullptr)
      : write_(std::move(write)), cpu_(cpu), max_data_bytes_(max_data_bytes), indexer_(indexer) {}
  /// Waits for what is on its way.
  ~ContentPacker();

  /// Takes `entry`, whose payload `payload` gives and the tar has at `tar_offset`.
  Status Add(estargz::TarEntry entry, uint64_t tar_offset, estargz::TarEntrySource& payload);
  /// Waits until all is written; the TOC's JSON. Call once, last.
  StatusOr<std::string> Finish();
  /// Where the files went, in the order of the tar.
  const std::vector<PlacedFile>& placed() const { return placed_; }

 private:
  struct Batch;
  /// A part of a file's content.
  struct Part {
    std::shared_ptr<Batch> batch;
    size_t number = 0;  // in the batch
    uint64_t file_offset = 0;
    uint64_t blob_offset = 0;   // of its member or span
    uint64_t inner_offset = 0;  // in there
  };
  /// An entry that waits for the digests of its content.
  struct Pending {
    estargz::TarEntry entry;
    std::vector<Part> parts;
  };

  Status AddContent(estargz::TarEntry entry, uint64_t tar_offset, estargz::TarEntrySource& payload);
  void AddChunks(uint64_t file_offset, size_t begin, uint64_t tar_offset, Pending& pending);
  void Submit();
  Status WaitForOldest();
  Status ListFinished();
  Status List(const Pending& pending);

  const WriteBatch write_;
  Executor& cpu_;
  const uint64_t max_data_bytes_;
  const estargz::GzipIndexer* const indexer_;
  estargz::TocWriter toc_;
  std::vector<PlacedFile> placed_;
  uint64_t next_address_ = 0;
  std::shared_ptr<Batch> filling_;                // may be null
  std::deque<std::shared_ptr<Batch>> submitted_;  // not waited for yet, in order
  std::deque<Pending> pending_;

  Mutex mutex_;  // leaf
  Condition written_;
};

}  // namespace starling::layer
