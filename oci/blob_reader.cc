#include "oci/blob_reader.h"

#include <future>
#include <utility>

namespace starling::oci {

void BlobReader::Stream(BlobRange range, const ReadOptions& options, Part part, StreamDone done) {
  Read(range, options,
       [part = std::move(part), done = std::move(done)](const StatusOr<Bytes>& bytes) {
         if (bytes.ok() && !bytes->empty()) {
           part(*bytes);
         }
         done(bytes.status());
       });
}

StatusOr<Bytes> BlobReader::ReadAndWait(BlobRange range, const ReadOptions& options) {
  std::promise<StatusOr<Bytes>> promise;
  auto result = promise.get_future();
  ReadOptions bounded = options;
  bounded.timeout = options.timeout.value_or(kWaitLimit);
  Read(range, bounded, [&promise](StatusOr<Bytes> bytes) { promise.set_value(std::move(bytes)); });
  return result.get();
}

}  // namespace starling::oci
