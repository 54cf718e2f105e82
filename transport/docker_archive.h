#pragma once

#include <map>

#include "transport/member_files.h"

namespace starling::transport {

/// One image of what `docker save` writes, shown as an OCI manifest over its members: layers are
/// named by their diff IDs, which are the digests of their tars, so that opening reads none of
/// them.
class DockerArchiveSource : public ExtentSource {
 public:
  /// `reference` is one of RepoTags; empty is fine when there is one image.
  static StatusOr<std::shared_ptr<DockerArchiveSource>> Open(
      std::shared_ptr<const MemberFiles> files, const std::string& reference, std::string name);

  std::string Name() const override { return name_; }
  StatusOr<oci::RawManifest> ReadTopManifest() override { return top_; }

 protected:
  StatusOr<FileExtent> Find(const oci::Digest& digest) override;

 private:
  explicit DockerArchiveSource(std::string name) : name_(std::move(name)) {}
  Status Fill(const MemberFiles& files, const std::string& reference);
  StatusOr<oci::Descriptor> AddLayer(const FileExtent& member, const oci::Digest& diff_id);

  std::string name_;
  oci::RawManifest top_;
  std::map<oci::Digest, FileExtent> blobs_;
};

}  // namespace starling::transport
