#include "transport/transports.h"

#include "oci/reference.h"
#include "transport/docker_archive.h"
#include "transport/layout_destination.h"
#include "transport/layout_source.h"

namespace starling::transport {
namespace {

using SourceOr = StatusOr<std::shared_ptr<oci::ImageSource>>;

SourceOr OpenLayout(std::shared_ptr<const MemberFiles> files, const ImageName& name) {
  return LayoutSource::Open(std::move(files), name.reference, name.ToString());
}

SourceOr OpenDockerArchive(const ImageName& name) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MemberFiles> files, TarFiles::Open(name.path));
  // Docker 25 and later add an OCI layout, whose manifests know more than manifest.json.
  if (files->Find("oci-layout").ok()) {
    SourceOr source = OpenLayout(files, name);
    if (source.ok() || !files->Find("manifest.json").ok()) {
      return source;
    }
  }
  return DockerArchiveSource::Open(std::move(files), name.reference, name.ToString());
}

}  // namespace

StatusOr<std::shared_ptr<oci::ImageSource>> Transports::OpenSource(const ImageName& name) {
  switch (name.kind) {
    case Kind::kRegistry: {
      ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name.reference));
      return registries_.Source(reference);
    }
    case Kind::kOciLayout:
      return OpenLayout(std::make_shared<DirectoryFiles>(name.path), name);
    case Kind::kOciArchive: {
      ASSIGN_OR_RETURN(std::shared_ptr<const MemberFiles> files, TarFiles::Open(name.path));
      return OpenLayout(std::move(files), name);
    }
    case Kind::kDockerArchive:
      return OpenDockerArchive(name);
  }
  return MakeError(StatusCode::kInvalidArgument, "unknown kind of image name");
}

StatusOr<std::shared_ptr<oci::ImageDestination>> Transports::OpenDestination(
    const ImageName& name) {
  switch (name.kind) {
    case Kind::kRegistry: {
      ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name.reference));
      return registries_.Destination(reference);
    }
    case Kind::kOciLayout:
      return LayoutDestination::Open(name.path, name.reference);
    case Kind::kOciArchive:
      return ArchiveDestination::Open(name.path, name.reference);
    case Kind::kDockerArchive:
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("{}: docker-archive cannot be written, as it would lose the "
                                   "layers' indexes; write oci-archive:FILE (docker load reads "
                                   "it), oci:DIRECTORY or a registry",
                                   name.ToString()));
  }
  return MakeError(StatusCode::kInvalidArgument, "unknown kind of image name");
}

}  // namespace starling::transport
