#pragma once

#include <vector>

#include "oci/referrer.h"
#include "transport/member_files.h"

namespace starling::transport {

/// One image of an OCI layout, in a directory or in an archive.
/// Source: OCI image specification, "Image Layout".
class LayoutSource : public ExtentSource {
 public:
  /// More manifests of a layout are not looked at for their subjects.
  static constexpr size_t kMaxReferrers = 2000;

  /// Finds the entry of index.json that `tag` names: by its annotation ref.name, or by the name
  /// that containerd and Docker give it. No tag is fine when there is one image, beside referrers
  /// without names. Errors: kNotFound,
  /// which lists the tags there are; kInvalidArgument when a tag is needed.
  static StatusOr<std::shared_ptr<LayoutSource>> Open(std::shared_ptr<const MemberFiles> files,
                                                      const std::string& tag, std::string name);

  std::string Name() const override { return name_; }
  StatusOr<oci::RawManifest> ReadTopManifest() override { return ReadManifest(top_); }
  /// Those that index.json names, as oras writes them, and those of an index that is called as the
  /// tag of the subject's referrers. Manifests that are not there are passed over.
  StatusOr<std::vector<oci::Descriptor>> ReadReferrers(const oci::Digest& subject) override;

 protected:
  StatusOr<FileExtent> Find(const oci::Digest& digest) override;

 private:
  LayoutSource(std::shared_ptr<const MemberFiles> files, std::string name)
      : files_(std::move(files)), name_(std::move(name)) {}
  Status ReadIndex(const std::string& tag);
  StatusOr<oci::Descriptor> SelectTop(const std::string& tag);
  /// What the entry is a referrer of; nothing for what is none, or not there.
  StatusOr<std::optional<oci::Referrer>> ReferrerAt(const oci::Descriptor& entry);

  const std::shared_ptr<const MemberFiles> files_;
  const std::string name_;
  oci::Index index_;
  oci::Descriptor top_;
};

}  // namespace starling::transport
