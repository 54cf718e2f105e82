#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/temp_dir.h"
#include "oci/image_store.h"

namespace starling::transport {

/// Adds one image to an OCI layout directory, which is made when the first byte is written.
/// Other images in it stay; the one called `tag` is replaced when the top manifest is written, in
/// one step. Referrers among the manifests get entries without a name, as oras writes them.
/// Threads: safe; also against other processes that add images with this class.
class LayoutDestination : public oci::ImageDestination {
 public:
  /// kFailedPrecondition when `directory` holds something that is no layout.
  static StatusOr<std::shared_ptr<LayoutDestination>> Open(std::filesystem::path directory,
                                                           std::string tag);

  std::string Name() const override;
  StatusOr<bool> HasBlob(const oci::Descriptor& blob) override;
  StatusOr<oci::BlobArrival> PutBlob(const oci::Descriptor& blob, const OpenStream& open,
                                     const std::vector<oci::BlobOrigin>& origins) override;
  Status WriteManifest(const oci::RawManifest& manifest) override;
  Status WriteTopManifest(const oci::RawManifest& manifest) override;

 private:
  LayoutDestination(std::filesystem::path directory, std::string tag)
      : directory_(std::move(directory)), tag_(std::move(tag)) {}
  std::filesystem::path BlobPath(const oci::Digest& digest) const;
  Status MakeLayout();
  Status ReplaceIndexEntry(const oci::RawManifest& manifest);
  bool IsReferrer(const oci::Digest& manifest) const;

  const std::filesystem::path directory_;
  const std::string tag_;
  Mutex mutex_;  // leaf; held once over making the directories
  bool made_ GUARDED_BY(mutex_) = false;
  std::vector<oci::Descriptor> referrers_ GUARDED_BY(mutex_);  // written, without an entry yet
};

/// Writes an OCI layout as one tar file, which appears under its name when it is complete. Until
/// then the content waits in a private directory beside it. Threads: safe.
class ArchiveDestination : public oci::ImageDestination {
 public:
  static StatusOr<std::shared_ptr<ArchiveDestination>> Open(std::filesystem::path file,
                                                            std::string tag);

  std::string Name() const override;
  StatusOr<bool> HasBlob(const oci::Descriptor& blob) override { return layout_->HasBlob(blob); }
  StatusOr<oci::BlobArrival> PutBlob(const oci::Descriptor& blob, const OpenStream& open,
                                     const std::vector<oci::BlobOrigin>& origins) override {
    return layout_->PutBlob(blob, open, origins);
  }
  Status WriteManifest(const oci::RawManifest& manifest) override {
    return layout_->WriteManifest(manifest);
  }
  Status WriteTopManifest(const oci::RawManifest& manifest) override;

 private:
  ArchiveDestination(std::filesystem::path file, TempDir staging,
                     std::shared_ptr<LayoutDestination> layout)
      : file_(std::move(file)), staging_(std::move(staging)), layout_(std::move(layout)) {}
  std::filesystem::path LayoutDirectory() const { return staging_.path() / "layout"; }

  const std::filesystem::path file_;
  const TempDir staging_;
  const std::shared_ptr<LayoutDestination> layout_;
};

}  // namespace starling::transport
