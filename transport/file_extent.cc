#include "transport/file_extent.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/file_system.h"

namespace starling::transport {
namespace {

class ExtentReader : public oci::BlobReader {
 public:
  explicit ExtentReader(FileExtent extent) : extent_(std::move(extent)) {}

  uint64_t SizeBytes() const override { return extent_.size_bytes; }

  void Read(oci::BlobRange range, const oci::ReadOptions&, Done done) override {
    done(ReadNow(range));
  }

 private:
  StatusOr<Bytes> ReadNow(oci::BlobRange range) const {
    if (range.size_bytes > extent_.size_bytes ||
        range.blob_offset > extent_.size_bytes - range.size_bytes) {
      return MakeError(StatusCode::kOutOfRange,
                       fmt::format("{} bytes at {} of a blob of {}", range.size_bytes,
                                   range.blob_offset, extent_.size_bytes));
    }
    Bytes bytes(range.size_bytes);
    RETURN_IF_ERROR(RealFileSystem().ReadAt(extent_.file->get(),
                                            extent_.file_offset + range.blob_offset, bytes));
    return bytes;
  }

  const FileExtent extent_;
};

}  // namespace

StatusOr<FileExtent> OpenFileExtent(const std::filesystem::path& path) {
  // Non-blocking: opening a pipe would wait for a writer for ever.
  ASSIGN_OR_RETURN(UniqueFd fd, RealFileSystem().Open(path, O_RDONLY | O_NONBLOCK, 0));
  struct stat attributes{};
  if (::fstat(fd.get(), &attributes) != 0) {
    return ErrnoError(errno, fmt::format("stat {}", path.string()));
  }
  if (!S_ISREG(attributes.st_mode)) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} is not a regular file", path.string()));
  }
  return FileExtent{.file = std::make_shared<const UniqueFd>(std::move(fd)),
                    .size_bytes = static_cast<uint64_t>(attributes.st_size)};
}

StatusOr<Bytes> ReadExtent(const FileExtent& extent, uint64_t limit_bytes) {
  if (extent.size_bytes > limit_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} bytes, at most {} are read", extent.size_bytes, limit_bytes));
  }
  Bytes bytes(extent.size_bytes);
  RETURN_IF_ERROR(RealFileSystem().ReadAt(extent.file->get(), extent.file_offset, bytes));
  return bytes;
}

StatusOr<size_t> ExtentStream::Read(std::span<std::byte> out) {
  const size_t count = std::min<uint64_t>(out.size(), left_.size_bytes);
  RETURN_IF_ERROR(
      RealFileSystem().ReadAt(left_.file->get(), left_.file_offset, out.subspan(0, count)));
  left_.file_offset += count;
  left_.size_bytes -= count;
  return count;
}

StatusOr<FileExtent> ExtentSource::FindChecked(const oci::Descriptor& descriptor) {
  auto extent = Find(descriptor.digest);
  if (!extent.ok()) {
    return Annotate(extent.status(), Name());
  }
  if (descriptor.size_bytes != 0 && extent->size_bytes != descriptor.size_bytes) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{}: {} has {} bytes, not {}", Name(),
                                                        descriptor.digest.ToString(),
                                                        extent->size_bytes, descriptor.size_bytes));
  }
  return extent;
}

StatusOr<oci::RawManifest> ExtentSource::ReadManifest(const oci::Descriptor& descriptor) {
  ASSIGN_OR_RETURN(const FileExtent extent, FindChecked(descriptor));
  auto bytes = ReadExtent(extent, oci::kMaxManifestBytes);
  if (!bytes.ok()) {
    return Annotate(bytes.status(),
                    fmt::format("{}: manifest {}", Name(), descriptor.digest.ToString()));
  }
  if (oci::Digest::Of(*bytes) != descriptor.digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: the manifest stored as {} has another digest", Name(),
                                 descriptor.digest.ToString()));
  }
  return oci::RawManifest{
      .media_type = descriptor.media_type, .digest = descriptor.digest, .bytes = *std::move(bytes)};
}

Status ExtentSource::ReadBlob(const oci::Descriptor& blob, ByteSink& sink) {
  ASSIGN_OR_RETURN(const FileExtent extent, FindChecked(blob));
  ExtentStream stream(extent);
  oci::DigestingSink digesting(sink);
  RETURN_IF_ERROR(CopyAll(stream, digesting).status());
  if (digesting.Finish() != blob.digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: the blob stored as {} has another digest", Name(),
                                 blob.digest.ToString()));
  }
  return OkStatus();
}

Status ExtentSource::ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset,
                                  ByteSink& sink) {
  if (blob_offset == 0) {
    return ReadBlob(blob, sink);
  }
  ASSIGN_OR_RETURN(FileExtent extent, FindChecked(blob));
  const uint64_t skipped_bytes = std::min(blob_offset, extent.size_bytes);
  extent.file_offset += skipped_bytes;
  extent.size_bytes -= skipped_bytes;
  ExtentStream stream(extent);
  return CopyAll(stream, sink).status();
}

StatusOr<oci::OpenedBlob> ExtentSource::OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) {
  ASSIGN_OR_RETURN(const FileExtent extent, FindChecked(blob));
  oci::OpenedBlob opened{.reader = std::make_shared<ExtentReader>(extent)};
  const uint64_t tail = std::min(tail_bytes, extent.size_bytes);
  ASSIGN_OR_RETURN(opened.tail, opened.reader->ReadAndWait(
                                    {.blob_offset = extent.size_bytes - tail, .size_bytes = tail}));
  return opened;
}

StatusOr<std::shared_ptr<oci::BlobReader>> ExtentSource::BlobAt(const oci::Descriptor& blob) {
  ASSIGN_OR_RETURN(const FileExtent extent, FindChecked(blob));
  return std::make_shared<ExtentReader>(extent);
}

}  // namespace starling::transport
