#pragma once

#include <memory>
#include <string>

#include "registry/repository_api.h"

namespace starling::registry {

/// Removes the manifest `object`: a digest, with all tags that lead to it, or a tag alone. Blobs
/// stay until the registry collects them. Blocks. Errors: kNotFound when there is none;
/// kUnimplemented when the registry removes nothing, or nothing by its tag; else the registry's.
/// Source: OCI distribution specification 1.1, "Deleting tags", "Deleting Manifests".
Status RemoveManifest(const std::shared_ptr<RepositoryApi>& api, const std::string& object,
                      RetryPolicy retry);

}  // namespace starling::registry
