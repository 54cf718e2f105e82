/// Whole blobs to a registry, on threads that may block.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "oci/image_store.h"
#include "registry/blob_stream.h"
#include "registry/repository_api.h"
#include "registry/upload_sizes.h"

namespace starling::registry {

/// What a registry was found to do, for all uploads to it. Threads: safe.
struct UploadAbilities {
  /// It takes a blob in chunks (PATCH).
  std::atomic<bool> chunks = true;
};

/// One blob on its way up. It asks whether the repository has the blob, then whether the registry
/// can take it from another of its repositories, and else opens an upload session. After a broken
/// connection the registry is asked how much it has, and the stream is opened again from there; a
/// registry that has lost the session gets the blob from its start. Size and digest of the stream
/// are checked before the upload is completed; one that fails is cancelled.
/// Source: OCI distribution specification 1.1, "Pushing blobs".
struct BlobUpload {
  std::shared_ptr<RepositoryApi> api;
  const oci::Descriptor& blob;
  const oci::ImageDestination::OpenStream& open;
  /// Other repositories of this registry that may have the blob; the first few are tried.
  std::vector<std::string> mount_from;
  StreamLimits limits;
  UploadAbilities& abilities;
  UploadSizes sizes;
};

/// Blocks. Errors: the stream's own; kDataLoss when the stream is not the blob; the registry's.
StatusOr<oci::BlobArrival> UploadBlob(const BlobUpload& upload);

/// Whether the repository holds the blob. A registry that does not answer HEAD holds none.
StatusOr<bool> BlobExists(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                          RetryPolicy retry);

}  // namespace starling::registry
