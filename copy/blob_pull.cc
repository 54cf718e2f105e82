#include "copy/blob_pull.h"

#include "base/executor.h"

namespace starling::copy {

BlobPull::BlobPull(oci::ImageSource& source, const oci::Descriptor& blob, uint64_t blob_offset)
    : thread_([this, &source, blob, blob_offset] {
        SetThreadName("blob-in");
        pipe_.Finish(source.ReadBlobFrom(blob, blob_offset, pipe_));
      }) {}

BlobPull::~BlobPull() {
  pipe_.Abandon();
  thread_.join();
}

}  // namespace starling::copy
