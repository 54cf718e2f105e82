// Property: the spans of a seek index that opens follow each other without gap, each within its
// bound, and inflating any of them from any bytes fills what was asked for or fails; a description
// that parses has a seek index within its layer.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "estargz/gzip_layer_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  using estargz::GzipSeekIndex;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto layer = estargz::GzipLayerIndex::Parse(Bytes(bytes.begin(), bytes.end()));
      layer.ok()) {
    if (layer->seek_index().blob_end() > layer->blob_size_bytes()) {
      std::abort();
    }
    (void)layer->ReadToc({.json_bytes = 1 << 20});
  }
  const auto index = GzipSeekIndex::Open(bytes);
  if (!index.ok()) {
    return 0;
  }
  estargz::GzipSpanInflater inflater;
  uint64_t blob_offset = 0;
  uint64_t tar_offset = 0;
  for (size_t point = 0; point < index->points().size(); ++point) {
    const estargz::GzipSpan span = index->SpanAt(point);
    if (span.blob_offset != blob_offset || span.tar_offset != tar_offset || span.blob_bytes == 0 ||
        span.tar_bytes > GzipSeekIndex::kMaxSpanBytes ||
        index->PointAt(span.blob_offset) != point) {
      std::abort();
    }
    blob_offset += span.blob_bytes;
    tar_offset += span.tar_bytes;
    Bytes out(std::min<uint64_t>(span.tar_bytes, 64 << 10));
    (void)inflater.Inflate(*index, point, bytes, out);
  }
  if (blob_offset != index->blob_end() || tar_offset != index->tar_bytes()) {
    std::abort();
  }
  return 0;
}
