// Property: ParseFooter never accepts a TOC offset that is not before the footer, and a footer that
// names the offset found parses to the same.
#include <cstdint>
#include <cstdlib>

#include "estargz/footer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling::estargz;
  constexpr uint64_t kBlobBytes = 1 << 20;
  const auto bytes = std::as_bytes(std::span(data, size));
  // The input as the tail of a larger blob, and as a blob of its own.
  for (const uint64_t blob_size : {kBlobBytes, static_cast<uint64_t>(size)}) {
    const auto footer = ParseFooter(bytes, blob_size);
    if (!footer.ok()) {
      continue;
    }
    if (footer->size_bytes > size || footer->toc_offset >= blob_size - footer->size_bytes) {
      std::abort();
    }
    const auto again = ParseFooter(MakeFooter(footer->toc_offset), kBlobBytes + blob_size);
    if (!again.ok() || again->toc_offset != footer->toc_offset) {
      std::abort();
    }
  }
  return 0;
}
