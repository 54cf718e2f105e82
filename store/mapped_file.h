#pragma once

#include <filesystem>
#include <span>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/status.h"
#include "store/bus_error_guard.h"

namespace starling::store {

/// A whole file in memory, shared with all who map it. What of it the disk does not give, or was
/// cut off meanwhile, reads as zeros, and what is written there is nobody else's. Threads: safe, as
/// far as the bytes are.
class MappedFile {
 public:
  using Access = BusErrorGuard::Access;

  MappedFile() = default;
  /// Maps `size_bytes`; kDataLoss when the file has another size.
  static StatusOr<MappedFile> Open(FileSystem& files, const std::filesystem::path& path,
                                   Access access, uint64_t size_bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// Writable when the access says so.
  std::span<std::byte> bytes() const { return bytes_; }
  /// As BusErrorGuard::is_damaged: asked after the bytes were read. Lock-free.
  bool is_damaged() const { return guard_.is_damaged(); }

 private:
  MappedFile(std::span<std::byte> bytes, Access access) : bytes_(bytes), guard_(bytes, access) {}
  std::span<std::byte> bytes_;
  BusErrorGuard guard_;
};

/// kDataLoss when the open file at `path` has another size.
Status CheckFileSize(int fd, const std::filesystem::path& path, uint64_t size_bytes);

}  // namespace starling::store
