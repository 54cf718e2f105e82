#pragma once

#include <filesystem>
#include <span>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/status.h"

namespace starling::store {

/// A whole file in memory, shared with all who map it. The file must not shrink meanwhile.
/// Threads: safe, as far as the bytes are.
class MappedFile {
 public:
  enum class Access { kRead, kReadAndWrite };

  MappedFile() = default;
  /// Maps `size_bytes`; kDataLoss when the file has another size.
  static StatusOr<MappedFile> Open(FileSystem& files, const std::filesystem::path& path,
                                   Access access, uint64_t size_bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// Writable when the access says so.
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

/// kDataLoss when the open file at `path` has another size.
Status CheckFileSize(int fd, const std::filesystem::path& path, uint64_t size_bytes);

}  // namespace starling::store
