#pragma once

#include <memory>
#include <string>

#include "base/mutex.h"
#include "oci/blob_reader.h"
#include "oci/descriptor.h"
#include "registry/content_range.h"
#include "registry/repository_api.h"

namespace starling::registry {

/// Ranges of one blob in a registry. Where the registry redirects to (object storage, as a rule
/// with a signature that expires) is remembered, and asked for again when it stops working. Reads
/// retry as their options allow: until the deadline as a rule, so that an outage is a pause.
/// Threads: safe.
class RemoteBlob : public oci::BlobReader {
 public:
  /// `size_bytes` is the blob's, known from its descriptor or an answer of the registry.
  RemoteBlob(std::shared_ptr<RepositoryApi> api, const oci::Digest& digest, uint64_t size_bytes,
             std::string redirected_url = "");

  uint64_t SizeBytes() const override { return size_bytes_; }
  void Read(oci::BlobRange range, const oci::ReadOptions& options, Done done) override;
  void Stream(oci::BlobRange range, const oci::ReadOptions& options, Part part,
              StreamDone done) override;

  bool IsPaused() override;

  /// A blob that answers a server without ranges with all its bytes is read whole up to this size.
  static constexpr uint64_t kMaxWholeBytes = 8 << 20;

 private:
  struct Shared;
  class RangeRead;
  const uint64_t size_bytes_;
  std::shared_ptr<Shared> shared_;  // reads may end after this object
};

/// Opens a blob by its last `tail_bytes`, in one request as a rule: a suffix range tells the size
/// when the descriptor does not. Blocks.
StatusOr<oci::OpenedBlob> OpenRemoteBlob(const std::shared_ptr<RepositoryApi>& api,
                                         const oci::Descriptor& blob, uint64_t tail_bytes,
                                         RetryPolicy retry);

}  // namespace starling::registry
