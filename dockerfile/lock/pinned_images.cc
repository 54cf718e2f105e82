#include "dockerfile/lock/pinned_images.h"

#include "oci/reference.h"

namespace starling::dockerfile::lock {

StatusOr<plan::BaseImage> PinnedImages::ResolveImage(const std::string& reference,
                                                     const oci::Platform& platform) {
  const std::pair key(reference, platform.ToString());
  if (const auto found = resolved_.find(key); found != resolved_.end()) {
    return found->second;
  }
  ASSIGN_OR_RETURN(plan::BaseImage image, ResolveOnce(reference, platform));
  return resolved_.emplace(key, std::move(image)).first->second;
}

StatusOr<plan::BaseImage> PinnedImages::ResolveOnce(const std::string& reference,
                                                    const oci::Platform& platform) {
  // A layout on this machine has no digest in its name.
  const bool in_registry = !reference.starts_with("oci:") && !reference.starts_with("oci-archive:");
  std::string wanted = reference;
  if (in_registry) {
    ASSIGN_OR_RETURN(const oci::Reference named, oci::Reference::Parse(reference));
    if (named.digest()) {
      return next_.ResolveImage(reference, platform);
    }
  }
  ASSIGN_OR_RETURN(const std::optional<oci::Digest> digest, pins_.Image(reference));
  if (digest && in_registry) {
    wanted = fmt::format("{}@{}", reference, digest->ToString());
  }
  ASSIGN_OR_RETURN(plan::BaseImage image, next_.ResolveImage(wanted, platform));
  ASSIGN_OR_RETURN(const oci::Digest target, target_of_(image));
  RETURN_IF_ERROR(pins_.NoteImage(reference, target));
  return image;
}

}  // namespace starling::dockerfile::lock
