#include "dockerfile/build/known_documents.h"

#include <string>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "oci/image_config.h"
#include "oci/manifest.h"

namespace starling::dockerfile::build {
namespace {

class KnownDocuments : public oci::ImageSource {
 public:
  KnownDocuments(std::shared_ptr<oci::ImageSource> source, std::filesystem::path directory)
      : source_(std::move(source)), directory_(std::move(directory)) {}

  std::string Name() const override { return source_->Name(); }
  // Only the source knows what the name stands for now.
  StatusOr<oci::RawManifest> ReadTopManifest() override { return source_->ReadTopManifest(); }

  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override {
    // Only an answer says what is missing.
    const bool is_whole = descriptor.size_bytes != 0 && !descriptor.media_type.empty();
    if (is_whole) {
      if (std::optional<Bytes> known = Find(descriptor, oci::kMaxManifestBytes)) {
        return oci::RawManifest{.media_type = descriptor.media_type,
                                .digest = descriptor.digest,
                                .bytes = *std::move(known)};
      }
    }
    ASSIGN_OR_RETURN(oci::RawManifest manifest, source_->ReadManifest(descriptor));
    if (is_whole) {
      Keep(descriptor, manifest.bytes);
    }
    return manifest;
  }

  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override {
    if (blob.size_bytes == 0 || blob.size_bytes > oci::kMaxConfigBytes || !IsConfig(blob)) {
      return source_->ReadBlob(blob, sink);
    }
    if (const std::optional<Bytes> known = Find(blob, oci::kMaxConfigBytes)) {
      return sink.Write(*known);
    }
    BytesSink read;
    RETURN_IF_ERROR(source_->ReadBlob(blob, read));
    Keep(blob, read.bytes());
    return sink.Write(read.bytes());
  }

  Status ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset, ByteSink& sink) override {
    return source_->ReadBlobFrom(blob, blob_offset, sink);
  }
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    return source_->OpenBlob(blob, tail_bytes);
  }
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override {
    return source_->BlobAt(blob);
  }
  std::vector<oci::BlobOrigin> OriginsOf(const oci::Descriptor& blob) override {
    return source_->OriginsOf(blob);
  }
  StatusOr<std::vector<oci::Descriptor>> ReadReferrers(const oci::Digest& subject) override {
    return source_->ReadReferrers(subject);
  }

 private:
  static bool IsConfig(const oci::Descriptor& blob) {
    return blob.media_type == oci::media_type::kOciConfig ||
           blob.media_type == oci::media_type::kDockerConfig;
  }
  std::filesystem::path PathOf(const oci::Descriptor& document) const {
    return directory_ / document.digest.Hex();
  }
  /// Whatever stands there, it is the document or nothing.
  std::optional<Bytes> Find(const oci::Descriptor& document, uint64_t max_bytes) const {
    StatusOr<Bytes> bytes = ReadFile(RealFileSystem(), PathOf(document), max_bytes);
    if (!bytes.ok() || bytes->size() != document.size_bytes ||
        oci::Digest::Of(*bytes) != document.digest) {
      return std::nullopt;
    }
    return *std::move(bytes);
  }
  /// What cannot be kept is asked for again.
  void Keep(const oci::Descriptor& document, ByteSpan bytes) const {
    if (MakeDirectories(directory_, 0700).ok()) {
      WriteFileAtomically(RealFileSystem(), PathOf(document), bytes, 0600).IgnoreError();
    }
  }

  const std::shared_ptr<oci::ImageSource> source_;
  const std::filesystem::path directory_;
};

}  // namespace

std::shared_ptr<oci::ImageSource> KeepDocuments(std::shared_ptr<oci::ImageSource> source,
                                                std::filesystem::path directory) {
  return std::make_shared<KnownDocuments>(std::move(source), std::move(directory));
}

}  // namespace starling::dockerfile::build
