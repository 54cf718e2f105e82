#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/status.h"
#include "store/mapped_file.h"

namespace starling::store {

/// Which chunks of a layer are held: one bit each in a mapped file, so that a killed process loses
/// none. The file also counts the bytes of those chunks.
/// Threads: safe, lock-free.
class PresenceMap {
 public:
  static constexpr uint64_t kMaxChunks = uint64_t{1} << 32;
  /// Of a map without chunks, and of one with the most.
  static constexpr uint64_t kMinBytes = 64;
  static constexpr uint64_t kMaxBytes = kMinBytes + kMaxChunks / 8;

  /// A file in which all chunks are absent. It must be written as it is, not left sparse: a store
  /// to a mapped hole of a full disk would end the process.
  static Bytes Empty(uint64_t chunk_count);
  /// The same with all chunks present, `present_bytes` bytes together.
  static Bytes Full(uint64_t chunk_count, uint64_t present_bytes);
  /// Takes the chunks [first, last) out of a valid map in memory.
  static void ClearIn(std::span<std::byte> map, uint64_t first, uint64_t last,
                      const std::function<uint64_t(uint64_t chunk)>& chunk_bytes);
  /// Adds the chunks of `other`, or takes them out: valid maps of one layer. The bytes that `map`
  /// counts stay as they are.
  static void Join(std::span<std::byte> map, ByteSpan other);
  static void Subtract(std::span<std::byte> map, ByteSpan other);
  /// Whether a valid map has the chunk.
  static bool Has(ByteSpan map, uint64_t chunk);
  /// kDataLoss unless `bytes` are a map of `chunk_count` chunks.
  static Status Check(ByteSpan bytes, uint64_t chunk_count);
  static StatusOr<std::unique_ptr<PresenceMap>> Open(FileSystem& files,
                                                     const std::filesystem::path& path,
                                                     uint64_t chunk_count);

  /// `chunk` is less than chunk_count(). True means: what was written before Set is visible.
  bool IsSet(uint64_t chunk) const;
  /// Marks a chunk of `size_bytes` bytes. Its bytes have been written. False: it was marked.
  bool Set(uint64_t chunk, uint64_t size_bytes);
  /// Takes the mark back, before the bytes go. False: it was not marked.
  bool Clear(uint64_t chunk, uint64_t size_bytes);
  uint64_t chunk_count() const { return chunk_count_; }
  uint64_t present_count() const { return present_count_.load(std::memory_order_acquire); }
  uint64_t present_bytes() const;
  /// True when the disk does not give a part of the file: its chunks count as absent, and what is
  /// set or cleared there ends with this object.
  bool is_damaged() const { return file_.is_damaged(); }
  /// The file as it is now. Chunks that are set meanwhile are in it or not.
  Bytes Snapshot() const;

 private:
  PresenceMap(MappedFile file, uint64_t chunk_count);
  std::atomic_ref<uint64_t> WordAt(uint64_t offset) const;

  MappedFile file_;
  uint64_t chunk_count_;
  std::atomic<uint64_t> present_count_ = 0;
};

/// The number of chunks that a valid map holds.
uint64_t CountPresent(ByteSpan map);

}  // namespace starling::store
