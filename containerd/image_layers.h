#pragma once

#include <map>
#include <set>
#include <string>

#include "base/status.h"
#include "oci/digest.h"

namespace starling::containerd {

/// Names of images by the digest of a layer that they consist of.
using ImagesByLayer = std::map<oci::Digest, std::set<std::string>>;

/// What the containerd at the socket `address` knows of all images of its namespaces: from their
/// manifests, those of other platforms included, as far as it holds them. Names that are digests
/// alone, as the kubelet's plugin adds, are left out. What cannot be read of one image costs that
/// image only. Blocks. Errors: those of Client.
StatusOr<ImagesByLayer> FindImagesByLayer(const std::string& address);

/// The layers of the image that the containerd at `address` knows by `name`, as it lists it or
/// short for that, in `namespace_name` or, if that is empty, in any of its namespaces; of all
/// platforms whose manifests it holds. Blocks. Errors: kNotFound when it knows none; those of
/// Client.
StatusOr<std::set<oci::Digest>> FindLayersOfImage(const std::string& address,
                                                  const std::string& namespace_name,
                                                  const std::string& name);

}  // namespace starling::containerd
