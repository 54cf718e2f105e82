#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/io.h"
#include "base/mutex.h"
#include "estargz/tar.h"
#include "estargz/tar_split_writer.h"
#include "estargz/toc_writer.h"
#include "estargz/writer.h"
#include "oci/digest.h"

namespace starling::estargz {

/// Cuts a tar, given entry by entry, into gzip members or zstd frames, both called members here,
/// and writes them with their TOC and footer.
///
/// A member starts at the blob's start, at each chunk of a file unless small ones may share, and
/// where headers alone have grown to a MiB; a chunk's member goes on with the padding and headers
/// that follow, except in containers/storage's format, where those have members of their own.
/// Members are independent and small ones are compressed in batches. A fixed ring of batches is in
/// flight: each is filled by the caller, then compressed by one thread and hashed, in order, by
/// another, and written by the caller in order. That bounds memory and makes the bytes independent
/// of threads.
///
/// Threads: one at a time; it blocks on its own threads and on the sink.
class BlobAssembler {
 public:
  /// Borrows `blob`.
  BlobAssembler(ByteSink& blob, const WriteOptions& options);
  ~BlobAssembler();

  /// Adds the entry, and its payload out of `payload`.
  Status Add(TarEntry entry, TarEntrySource& payload);
  /// Adds a file of one byte (0x0f) that has a meaning to readers.
  Status AddLandmark(std::string_view name);
  /// Writes what is left, the TOC and the footer. Call once, last. `tar_zeros`: with how many the
  /// tar of the entries ended, if this one shall end alike, as far as the format lets it.
  StatusOr<WrittenLayer> Finish(uint64_t tar_zeros = 0);

 private:
  struct Batch;

  Batch& current();
  Status AddContent(TarEntry entry, TarEntrySource& payload);
  uint64_t ChunkSizeOf(const TarEntry& entry) const;
  Status AppendHeader(ByteSpan header);
  Status BeginMember(size_t content_bytes);
  Status Submit();
  void Compress(Batch& batch);
  void HashTar(Batch& batch);
  void EndStage(Batch& batch);
  Status Write(Batch& batch);
  Status WriteToc(Batch& batch);
  Status WriteFramed(ByteSpan payload);
  StatusOr<WrittenLayer> FinishEstargz();
  StatusOr<WrittenLayer> FinishZstd();
  bool for_containers() const { return options_.format == WriteFormat::kContainersZstd; }

  const WriteOptions options_;
  uint64_t end_bytes_;                                     // the zeros that end the tar
  std::unordered_map<std::string, uint64_t> chunk_sizes_;  // by CleanName
  const int level_;
  oci::DigestingSink sink_;
  TocWriter toc_;
  std::optional<TarSplitWriter> tar_split_;  // of containers/storage's format

  std::vector<std::unique_ptr<Batch>> ring_;
  size_t filled_ = 0;   // batches submitted so far
  size_t written_ = 0;  // and written

  // A file whose chunks are in several batches, on its way into the TOC.
  TarEntry open_file_;
  std::vector<PlacedChunk> open_chunks_;

  // Of the hashing thread while a batch is in flight.
  oci::Sha256 tar_hash_;
  oci::Sha256 file_hash_;
  uint64_t file_crc64_ = 0;
  uint64_t tar_bytes_ = 0;

  Mutex mutex_;  // leaf; guards Batch::stages_left
  Condition stage_ended_;

  // Last, so that their threads end before what they use.
  ThreadPool hasher_;
  ThreadPool compressors_;
};

}  // namespace starling::estargz
