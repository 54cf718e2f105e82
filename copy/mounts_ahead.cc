#include "copy/mounts_ahead.h"

#include <utility>

#include "base/log.h"
#include "copy/copy.h"

namespace starling::copy {

MountsAhead::MountsAhead(std::shared_ptr<oci::ImageDestination> destination,
                         std::vector<Blob> blobs)
    : destination_(std::move(destination)),
      blobs_(std::move(blobs)),
      workers_(std::make_unique<ThreadPool>("mount-ahead", CopyOptions().blobs_at_once)) {
  for (const Blob& blob : blobs_) {
    workers_->Post([this, &blob] { Mount(blob); });
  }
}

MountsAhead::~MountsAhead() { stop_.request_stop(); }

std::set<oci::Digest> MountsAhead::Finish() {
  workers_.reset();
  MutexLock lock(mutex_);
  return mounted_;
}

void MountsAhead::Mount(const Blob& blob) {
  if (stop_.stop_requested()) {
    return;
  }
  const auto arrival = destination_->PutBlob(
      blob.descriptor,
      [](uint64_t) -> StatusOr<std::unique_ptr<ByteSource>> {
        return MakeError(StatusCode::kCancelled, "it is left to the copy");
      },
      blob.origins);
  if (!arrival.ok()) {
    log::Debug("a blob is not mounted ahead", {{"blob", blob.descriptor.digest.ToString()},
                                               {"error", Describe(arrival.status())}});
    return;
  }
  MutexLock lock(mutex_);
  if (*arrival == oci::BlobArrival::kMounted) {
    mounted_.insert(blob.descriptor.digest);
  }
}

}  // namespace starling::copy
