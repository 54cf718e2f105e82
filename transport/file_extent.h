#pragma once

#include <filesystem>
#include <memory>

#include "base/io.h"
#include "base/unique_fd.h"
#include "oci/image_store.h"

namespace starling::transport {

/// A part of an open regular file. Copies share the descriptor, and its position is never used.
struct FileExtent {
  std::shared_ptr<const UniqueFd> file;
  uint64_t file_offset = 0;
  uint64_t size_bytes = 0;
};

/// The whole of a regular file. kFailedPrecondition for anything else, such as a pipe.
StatusOr<FileExtent> OpenFileExtent(const std::filesystem::path& path);

/// The bytes of `extent`. kResourceExhausted when there are more than `limit_bytes`.
StatusOr<Bytes> ReadExtent(const FileExtent& extent, uint64_t limit_bytes);

/// Streams an extent.
class ExtentStream : public ByteSource {
 public:
  explicit ExtentStream(FileExtent extent) : left_(std::move(extent)) {}
  StatusOr<size_t> Read(std::span<std::byte> out) override;

 private:
  FileExtent left_;
};

/// An image source whose blobs and manifests are extents of local files. Threads: safe.
class ExtentSource : public oci::ImageSource {
 public:
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override;
  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override;
  Status ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset, ByteSink& sink) override;
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override;
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override;

 protected:
  /// Where the content is. kNotFound when it is missing. Threads: safe.
  virtual StatusOr<FileExtent> Find(const oci::Digest& digest) = 0;

 private:
  /// Find, and the check that the size is the descriptor's.
  StatusOr<FileExtent> FindChecked(const oci::Descriptor& descriptor);
};

}  // namespace starling::transport
