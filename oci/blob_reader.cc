#include "oci/blob_reader.h"

#include <future>

namespace starling::oci {

StatusOr<Bytes> BlobReader::ReadAndWait(BlobRange range, const ReadOptions& options) {
  std::promise<StatusOr<Bytes>> promise;
  auto result = promise.get_future();
  Read(range, options, [&promise](StatusOr<Bytes> bytes) { promise.set_value(std::move(bytes)); });
  return result.get();
}

}  // namespace starling::oci
