#include "store/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace starling::store {

StatusOr<MappedFile> MappedFile::Open(FileSystem& files, const std::filesystem::path& path,
                                      Access access, uint64_t size_bytes) {
  const bool writable = access == Access::kReadAndWrite;
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(path, writable ? O_RDWR : O_RDONLY, 0));
  RETURN_IF_ERROR(CheckFileSize(fd.get(), path, size_bytes));
  if (size_bytes == 0) {
    return MappedFile();
  }
  void* const start = ::mmap(nullptr, size_bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                             MAP_SHARED, fd.get(), 0);
  if (start == MAP_FAILED) {
    return ErrnoError(errno, fmt::format("map {}", path.string()));
  }
  return MappedFile(std::span(static_cast<std::byte*>(start), size_bytes), access);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), guard_(std::move(other.guard_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(guard_, other.guard_);
  return *this;
}

MappedFile::~MappedFile() {
  guard_ = BusErrorGuard();
  if (!bytes_.empty()) {
    ::munmap(bytes_.data(), bytes_.size());
  }
}

Status CheckFileSize(int fd, const std::filesystem::path& path, uint64_t size_bytes) {
  struct stat attributes{};
  if (::fstat(fd, &attributes) != 0) {
    return ErrnoError(errno, fmt::format("stat {}", path.string()));
  }
  if (static_cast<uint64_t>(attributes.st_size) != size_bytes) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{} has {} bytes, not {}", path.string(),
                                                        attributes.st_size, size_bytes));
  }
  return OkStatus();
}

}  // namespace starling::store
