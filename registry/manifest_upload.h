#pragma once

#include <memory>
#include <string>

#include "oci/image_store.h"
#include "registry/repository_api.h"

namespace starling::registry {

/// Stores `manifest` as `object`: a tag, or its digest. Blocks. The answer's headers say what the
/// registry made of it.
StatusOr<HttpResponse> UploadManifest(const std::shared_ptr<RepositoryApi>& api,
                                      const oci::RawManifest& manifest, const std::string& object,
                                      RetryPolicy retry);

}  // namespace starling::registry
