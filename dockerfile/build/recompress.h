#pragma once

#include <stop_token>
#include <string>

#include "base/progress.h"
#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/build/layer_format.h"
#include "dockerfile/build/tree.h"
#include "oci/image_store.h"

namespace starling::dockerfile::build {

/// Whether a layer is stored in this way already. For a format that is read lazily this costs one
/// small request where the annotations promise it.
StatusOr<bool> HasCompression(oci::ImageSource& source, const oci::Descriptor& layer,
                              Compression compression);

/// `tree` with all layers in `format`. What is stored in another way is streamed from `source`,
/// which has them all, into containerd; not again as long as containerd has what came of it. A
/// tar stays as it is, and so does its diff ID, but in lazy formats, which have an index in it:
/// those above such a layer have other chain IDs then, whose snapshots UnpackImage makes. Blocks.
/// Errors: kUnimplemented for layers that are no tar; kDataLoss for one that is not its diff ID's.
StatusOr<Tree> Recompress(containerd::Client& client, oci::ImageSource& source, const Tree& tree,
                          const LayerFormat& format, const std::stop_token& stop,
                          Progress& progress);

/// Makes the snapshots of an image that are not there, from `source`. Blocks.
Status UnpackImage(containerd::Client& client, oci::ImageSource& source, const BuiltImage& image,
                   const std::string& snapshotter, const std::stop_token& stop, Progress& progress);

}  // namespace starling::dockerfile::build
