/// The calls that durable state makes, behind an interface so that tests can fill the disk,
/// cut a write short or stop between two of them.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "base/bytes.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace starling {

/// Threads: safe. Every error names the path or the call.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// open(2) with O_CLOEXEC added.
  virtual StatusOr<UniqueFd> Open(const std::filesystem::path& path, int flags, mode_t mode) = 0;
  /// Writes all of `bytes` at `file_offset`, or fails; a failure may leave some of them written.
  virtual Status WriteAt(int fd, uint64_t file_offset, ByteSpan bytes) = 0;
  /// Fills `out`, or fails. kOutOfRange when the file ends before.
  virtual Status ReadAt(int fd, uint64_t file_offset, std::span<std::byte> out) = 0;
  /// Fills `out` as far as the kernel has the bytes in its memory, without waiting for the disk:
  /// how many of the first ones that are. kOutOfRange when the file ends before the first one,
  /// kUnimplemented when this file system cannot tell. Source: RWF_NOWAIT in preadv2(2).
  virtual StatusOr<size_t> ReadCached(int fd, uint64_t file_offset, std::span<std::byte> out) = 0;
  /// Has the kernel begin to read the range into its memory. Advice: nothing fails.
  virtual void ReadAhead(int fd, uint64_t file_offset, uint64_t size_bytes) = 0;
  virtual Status Resize(int fd, uint64_t size_bytes) = 0;
  /// fdatasync(2).
  virtual Status SyncData(int fd) = 0;
  virtual Status Rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  /// Makes `size_bytes` of `to` share the blocks of `from`. Offsets and size are multiples of the
  /// file system's block. kUnimplemented when these files cannot share blocks: nothing changed.
  /// Source: FICLONERANGE.
  virtual Status CloneRange(int from, uint64_t from_offset, int to, uint64_t to_offset,
                            uint64_t size_bytes) = 0;
  /// Makes the range read as zeros and gives its whole blocks back; the file keeps its size.
  virtual Status PunchHole(int fd, uint64_t file_offset, uint64_t size_bytes) = 0;
};

/// The machine's file system. Lives for ever.
FileSystem& RealFileSystem();

/// The whole file; kResourceExhausted when it is larger than `limit_bytes`.
StatusOr<Bytes> ReadFile(FileSystem& files, const std::filesystem::path& path,
                         uint64_t limit_bytes);
/// Replaces `path` in one step, one after another: at any time it holds the bytes of one of them.
Status WriteFileAtomically(FileSystem& files, const std::filesystem::path& path, ByteSpan bytes,
                           mode_t mode);
/// Makes the directory and its missing parents with `mode`. Fine if it exists.
Status MakeDirectories(const std::filesystem::path& path, mode_t mode);

}  // namespace starling
