/// What commands share that attach artifacts to images.
#pragma once

#include <string>

#include "apps/starling/toolbox.h"
#include "layer/access_profile.h"
#include "oci/image_store.h"
#include "registry/referrers.h"

namespace starling::cli {

/// `platform` as the user gave it; empty: the host's.
StatusOr<oci::Platform> PlatformOf(const std::string& platform);

/// The manifest that an image stands for, as an artifact names its subject.
oci::Descriptor SubjectOf(const oci::SelectedImage& image);

/// The annotation of an artifact that is made now.
oci::Annotations CreatedNow();

/// Attaches what runs of the image needed; the artifact's descriptor.
StatusOr<oci::Descriptor> AttachProfile(registry::Referrers& referrers,
                                        const oci::Descriptor& image,
                                        const layer::AccessProfile& profile);

}  // namespace starling::cli
