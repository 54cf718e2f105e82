/// Manifests and configurations that a machine has read before: they are named by their digests,
/// so no registry is asked for them again.
#pragma once

#include <filesystem>
#include <memory>

#include "oci/image_store.h"

namespace starling::dockerfile::build {

/// `source`, with what it reads by digest kept in `directory` as far as it is small enough for a
/// document. What a name stands for, and layers, are asked for as before. Threads and processes:
/// safe.
std::shared_ptr<oci::ImageSource> KeepDocuments(std::shared_ptr<oci::ImageSource> source,
                                                std::filesystem::path directory);

}  // namespace starling::dockerfile::build
