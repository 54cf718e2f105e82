// Property: what Reference::Parse accepts is stable: its normal form parses to an equal reference.
#include <cstdlib>

#include "oci/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reference = starling::oci::Reference::Parse(text);
  if (!reference.ok()) {
    return 0;
  }
  const auto again = starling::oci::Reference::Parse(reference->ToString());
  if (!again.ok() || *again != *reference || reference->repository().empty() ||
      reference->Object().empty()) {
    std::abort();
  }
  return 0;
}
