#pragma once

#include <memory>
#include <string>
#include <vector>

#include "containerd/client.h"
#include "oci/image_store.h"

namespace starling::containerd {

/// An image as containerd's content store holds it, which may be in part: layers that are shown
/// lazily, and the other platforms of an index, are not in it. Borrows the client.
/// Threads: safe.
class ContentSource : public oci::ImageSource {
 public:
  /// `name` as containerd has it: "docker.io/library/ubuntu:latest".
  ContentSource(Client& client, std::string name) : client_(client), name_(std::move(name)) {}

  std::string Name() const override { return name_; }
  /// kNotFound when containerd has no image of this name.
  StatusOr<oci::RawManifest> ReadTopManifest() override;
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override;
  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override;
  Status ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset, ByteSink& sink) override;
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override;
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override;
  /// Where containerd has pulled the blob from, by its labels.
  std::vector<oci::BlobOrigin> OriginsOf(const oci::Descriptor& blob) override;

 private:
  Client& client_;
  const std::string name_;
};

}  // namespace starling::containerd
