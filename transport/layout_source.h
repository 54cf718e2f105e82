#pragma once

#include "transport/member_files.h"

namespace starling::transport {

/// One image of an OCI layout, in a directory or in an archive.
/// Source: OCI image specification, "Image Layout".
class LayoutSource : public ExtentSource {
 public:
  /// Finds the entry of index.json that `tag` names: by its annotation ref.name, or by the name
  /// that containerd and Docker give it. No tag is fine when there is one image. Errors: kNotFound,
  /// which lists the tags there are; kInvalidArgument when a tag is needed.
  static StatusOr<std::shared_ptr<LayoutSource>> Open(std::shared_ptr<const MemberFiles> files,
                                                      const std::string& tag, std::string name);

  std::string Name() const override { return name_; }
  StatusOr<oci::RawManifest> ReadTopManifest() override { return ReadManifest(top_); }

 protected:
  StatusOr<FileExtent> Find(const oci::Digest& digest) override;

 private:
  LayoutSource(std::shared_ptr<const MemberFiles> files, oci::Descriptor top, std::string name)
      : files_(std::move(files)), top_(std::move(top)), name_(std::move(name)) {}

  std::shared_ptr<const MemberFiles> files_;
  oci::Descriptor top_;
  std::string name_;
};

}  // namespace starling::transport
