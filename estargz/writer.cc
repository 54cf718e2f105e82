#include "estargz/writer.h"

#include <memory>

#include "estargz/blob_assembler.h"
#include "estargz/decompress.h"
#include "estargz/tar.h"
#include "estargz/tar_spool.h"
#include "estargz/toc.h"

namespace starling::estargz {
namespace {

constexpr size_t kMaxThreads = 256;

Status CheckChunkSize(uint64_t size_bytes) {
  if (size_bytes < kMinChunkBytes || size_bytes > kMaxChunkBytes) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("chunk size {}: must be from {} to {} bytes", size_bytes,
                                 kMinChunkBytes, kMaxChunkBytes));
  }
  return OkStatus();
}

Status CheckOptions(const WriteOptions& options) {
  RETURN_IF_ERROR(CheckChunkSize(options.chunk_size_bytes));
  for (const auto& [path, size_bytes] : options.chunk_size_bytes_of) {
    RETURN_IF_ERROR(CheckChunkSize(size_bytes));
  }
  if (options.shared_member_bytes > kMaxSharedMemberBytes) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("shared members of {} bytes: at most {}",
                                 options.shared_member_bytes, kMaxSharedMemberBytes));
  }
  if (options.shared_member_bytes > 0 && options.format == WriteFormat::kContainersZstd) {
    return MakeError(StatusCode::kInvalidArgument,
                     "shared members: readers of containers/storage's zstd:chunked know none");
  }
  const int level = options.compression_level.value_or(DefaultLevel(options.format));
  if (level < 1 || level > MaxLevel(options.format)) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("compression level {}: must be from 1 to {}", level, MaxLevel(options.format)));
  }
  if (options.threads < 1 || options.threads > kMaxThreads) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} threads: must be from 1 to {}", options.threads, kMaxThreads));
  }
  return OkStatus();
}

/// What an eStargz writer once added; it is added anew.
bool IsGenerated(const TarEntry& entry) {
  if (entry.type == TarType::kGlobalHeader) {
    return false;
  }
  const std::string name = CleanName(entry.name);
  return name == kTocName || name == kPrefetchLandmark || name == kNoPrefetchLandmark;
}

StatusOr<std::unique_ptr<TarSpool>> Reorder(TarEntrySource& tar, const WriteOptions& options) {
  std::filesystem::path directory = options.spool_directory;
  if (directory.empty()) {
    std::error_code error;
    directory = std::filesystem::temp_directory_path(error);
    if (error) {
      return ErrnoError(error.value(), "no directory for temporary files");
    }
  }
  return TarSpool::Make(tar, options.prioritized_files, directory);
}

}  // namespace

int DefaultLevel(WriteFormat format) { return format == WriteFormat::kEstargz ? 7 : 6; }

int MaxLevel(WriteFormat format) { return format == WriteFormat::kEstargz ? 12 : 19; }

StatusOr<WrittenLayer> WriteLayer(ByteSource& layer, ByteSink& blob, const WriteOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  DecompressedTar tar(layer);
  TarReader reader(tar);
  TarEntrySource* entries = &reader;
  std::unique_ptr<TarSpool> spool;
  if (!options.prioritized_files.empty()) {
    ASSIGN_OR_RETURN(spool, Reorder(reader, options));
    entries = spool.get();
  }
  BlobAssembler assembler(blob, options);
  if (spool == nullptr && options.format != WriteFormat::kContainersZstd) {
    RETURN_IF_ERROR(assembler.AddLandmark(kNoPrefetchLandmark));
  }
  for (uint64_t number = 0;; ++number) {
    if (spool != nullptr && number == spool->prioritized_entries()) {
      RETURN_IF_ERROR(assembler.AddLandmark(kPrefetchLandmark));
    }
    ASSIGN_OR_RETURN(std::optional<TarEntry> entry, entries->Next());
    if (!entry) {
      return assembler.Finish(spool == nullptr ? reader.zeros_at_end() : 0);
    }
    if (!IsGenerated(*entry)) {
      RETURN_IF_ERROR(assembler.Add(*std::move(entry), *entries));
    }
  }
}

}  // namespace starling::estargz
