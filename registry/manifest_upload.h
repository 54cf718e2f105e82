#pragma once

#include <memory>
#include <string>

#include "oci/image_store.h"
#include "registry/repository_api.h"

namespace starling::registry {

/// How often a manifest is offered again to a registry that does not know one of its blobs.
inline constexpr int kMaxBlobUnknownRetries = 3;

/// Stores `manifest`, whose blobs are there, as `object`: a tag, or its digest. Blocks. The
/// answer's headers say what the registry made of it. A registry may miss a blob for a moment, one
/// that has just come to a slow backend or that somebody else sends at the same time: it is asked
/// again, with the waits of RetryDelay. Errors: those of ErrorOfResponse (kFailedPrecondition or
/// kNotFound where a blob is missing for good), kDataLoss when something else was stored.
StatusOr<HttpResponse> UploadManifest(const std::shared_ptr<RepositoryApi>& api,
                                      const oci::RawManifest& manifest, const std::string& object,
                                      RetryPolicy retry);

}  // namespace starling::registry
