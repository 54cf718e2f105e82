// Property: a manifest, index or configuration that parses, writes itself as one that parses to the
// same; no document is both a manifest and an index.
#include <cstdlib>

#include "oci/image_config.h"
#include "oci/manifest.h"

namespace {

using namespace starling;

template <typename Document>
bool ParsesAndRoundTrips(ByteSpan json) {
  const auto document = Document::Parse(json, "");
  if (!document.ok()) {
    return false;
  }
  const auto again = Document::Parse(AsBytes(document->ToJson()), "");
  if (!again.ok() || *again != *document) {
    std::abort();
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan json = std::as_bytes(std::span(data, size));
  const bool is_manifest = ParsesAndRoundTrips<oci::Manifest>(json);
  const bool is_index = ParsesAndRoundTrips<oci::Index>(json);
  if (is_manifest && is_index) {
    std::abort();
  }
  if (is_index) {
    (void)oci::Index::Parse(json, "")->Select(oci::Platform::Host());
  }
  if (const auto config = oci::ImageConfig::Parse(json); config.ok()) {
    const auto again = oci::ImageConfig::Parse(AsBytes(config->WithDiffIds(config->diff_ids())));
    if (!again.ok() || again->diff_ids() != config->diff_ids()) {
      std::abort();
    }
  }
  return 0;
}
