#include "registry/content_range.h"

#include <strings.h>

#include <charconv>

#include "registry/url.h"

namespace starling::registry {
namespace {

// Room for the sums of two positions.
constexpr uint64_t kMaxPosition = uint64_t{1} << 62;

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      number > kMaxPosition) {
    return std::nullopt;
  }
  return number;
}

std::optional<ContentRange> Parse(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (text.size() < kUnit.size() || strncasecmp(text.data(), kUnit.data(), kUnit.size()) != 0) {
    return std::nullopt;
  }
  text.remove_prefix(kUnit.size());
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view positions = text.substr(0, slash);
  const std::string_view total = text.substr(slash + 1);
  ContentRange result;
  if (total != "*") {
    result.total_bytes = ParseNumber(total);
    if (!result.total_bytes) {
      return std::nullopt;
    }
  }
  if (positions == "*") {
    return result.total_bytes ? std::optional(result) : std::nullopt;
  }
  const size_t dash = positions.find('-');
  const auto first = ParseNumber(positions.substr(0, dash));
  const auto last =
      dash == std::string_view::npos ? std::nullopt : ParseNumber(positions.substr(dash + 1));
  if (!first || !last || *last < *first || (result.total_bytes && *last >= *result.total_bytes)) {
    return std::nullopt;
  }
  result.range = {.blob_offset = *first, .size_bytes = *last - *first + 1};
  return result;
}

}  // namespace

StatusOr<ContentRange> ParseContentRange(std::string_view text) {
  const auto parsed = Parse(text);
  if (!parsed) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("unreadable Content-Range \"{}\"", Printable(text, 100)));
  }
  return *parsed;
}

Status CheckEncoding(std::string_view encoding) {
  if (encoding.empty() || encoding == "identity") {
    return OkStatus();
  }
  return MakeError(StatusCode::kDataLoss,
                   fmt::format("the server encodes the blob as {} on its way, so ranges of it mean "
                               "nothing",
                               Printable(encoding, 40)));
}

std::string RangeHeader(oci::BlobRange range) {
  return fmt::format("bytes={}-{}", range.blob_offset, range.end() - 1);
}

}  // namespace starling::registry
