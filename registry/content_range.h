#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "oci/blob_reader.h"

namespace starling::registry {

/// What a Content-Range header says. Source: RFC 9110, section 14.4.
struct ContentRange {
  std::optional<oci::BlobRange> range;  // absent in "bytes */N"
  std::optional<uint64_t> total_bytes;  // absent in "bytes A-B/*"
};

/// kDataLoss unless it is "bytes A-B/N", "bytes A-B/*" or "bytes */N" with A <= B < N.
StatusOr<ContentRange> ParseContentRange(std::string_view text);

/// kDataLoss for a Content-Encoding that makes of a blob's bytes, and of their offsets, others.
Status CheckEncoding(std::string_view encoding);

/// "bytes=A-B" for a range that is not empty.
std::string RangeHeader(oci::BlobRange range);

}  // namespace starling::registry
