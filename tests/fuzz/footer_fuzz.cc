// Property: ParseFooter never accepts a payload or a TOC that is not before the footer, and a
// footer of ours that names the offset found parses to the same.
#include <cstdint>
#include <cstdlib>

#include "estargz/footer.h"

namespace {

using namespace starling;
using namespace starling::estargz;

void CheckAgain(const Footer& footer, uint64_t blob_size) {
  const auto made = MakeFooter(footer.toc_offset);
  Bytes tail(kMaxFooterBytes - made.size());
  tail.insert(tail.end(), made.begin(), made.end());
  const auto again = ParseFooter(tail, blob_size + kMaxFooterBytes);
  if (!again.ok() || again->toc_offset != footer.toc_offset) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kBlobBytes = 1 << 20;
  const auto bytes = std::as_bytes(std::span(data, size));
  // The input as the tail of a larger blob, and as a blob of its own.
  for (const uint64_t blob_size : {kBlobBytes, static_cast<uint64_t>(size)}) {
    const auto footer = ParseFooter(bytes, blob_size);
    if (!footer.ok()) {
      continue;
    }
    if (footer->size_bytes > size || footer->size_bytes > kMaxFooterBytes) {
      std::abort();
    }
    const uint64_t end = blob_size - footer->size_bytes;
    if (footer->payload_end > end || footer->toc_offset > end ||
        footer->toc_bytes > end - footer->toc_offset) {
      std::abort();
    }
    if (footer->kind != FooterKind::kExternalToc &&
        (footer->toc_bytes == 0 || footer->payload_end > footer->toc_offset)) {
      std::abort();
    }
    CheckAgain(*footer, blob_size);
  }
  return 0;
}
