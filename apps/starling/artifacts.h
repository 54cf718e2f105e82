/// What commands share that attach artifacts to images.
#pragma once

#include <string>

#include "apps/starling/toolbox.h"
#include "oci/image_store.h"
#include "registry/referrers.h"

namespace starling::cli {

/// `platform` as the user gave it; empty: the host's.
StatusOr<oci::Platform> PlatformOf(const std::string& platform);

/// The manifest that an image stands for, as an artifact names its subject.
oci::Descriptor SubjectOf(const oci::SelectedImage& image);

/// The annotation of an artifact that is made now.
oci::Annotations CreatedNow();

}  // namespace starling::cli
