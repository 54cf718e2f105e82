/// What of a layer's tar its chunks are not (headers, padding), kept until the diffID was computed.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"
#include "layer/chunk_table.h"
#include "store/mapped_file.h"

namespace starling::layer {

/// A part of a member's decompressed bytes.
struct InnerRange {
  uint64_t inner_offset = 0;
  uint64_t size_bytes = 0;

  friend bool operator==(const InnerRange&, const InnerRange&) = default;
};

/// The parts of the first `inner_bytes` of `member` that no chunk covers, in order.
std::vector<InnerRange> GapsOf(const ChunkTable& table, uint32_t member, uint64_t inner_bytes);

/// Adds the gaps of members to a file as they are decoded, compressed (tar headers shrink to a
/// tenth). Nothing depends on it but what the diffID then costs, so what cannot be written is left
/// out, and nothing is forced to the disk.
/// Threads: safe. Calls block for the disk.
class GapLog {
 public:
  /// The file's place in a layer's directory.
  static constexpr std::string_view kFileName = "gaps";
  /// Gaps of a member beyond this are left out.
  static constexpr uint64_t kMaxGapBytes = 1 << 20;

  /// Opens nothing yet. Borrows `files`.
  GapLog(std::filesystem::path path, FileSystem& files) : path_(std::move(path)), files_(files) {}

  /// `inner` is all that `member` decompresses to. Does nothing for a member that is there.
  void Add(const ChunkTable& table, uint32_t member, ByteSpan inner);
  /// Removes the file and adds nothing from now on.
  void Discard();

 private:
  bool Wants(uint32_t member, size_t member_count);
  Status Write(ByteSpan record);
  Status Open(size_t member_count) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End();

  const std::filesystem::path path_;
  FileSystem& files_;
  Mutex mutex_;  // held over the opening of the file, once: only others that add wait for it
  UniqueFd file_ GUARDED_BY(mutex_);
  uint64_t end_ GUARDED_BY(mutex_) = 0;
  std::vector<bool> has_ GUARDED_BY(mutex_);  // of each member, once the file is open
  bool ended_ GUARDED_BY(mutex_) = false;     // discarded, or a write failed
};

/// What a GapLog has written. Threads: safe.
class Gaps {
 public:
  /// `member_count` is that of the layer. A missing file has no gaps.
  static StatusOr<Gaps> Open(FileSystem& files, const std::filesystem::path& path,
                             size_t member_count);

  /// True when something is kept of the member, even if that there are no gaps.
  bool Has(uint32_t member) const { return offsets_[member] != kNone; }
  /// All gaps of the member, one behind the other. kDataLoss when the file was damaged.
  StatusOr<Bytes> Read(uint32_t member) const;
  /// Of the records that can be told apart: where the next one goes.
  uint64_t end() const { return end_; }

 private:
  static constexpr uint64_t kNone = UINT64_MAX;
  store::MappedFile file_;
  std::vector<uint64_t> offsets_;  // of each member's record
  uint64_t end_ = 0;
};

}  // namespace starling::layer
