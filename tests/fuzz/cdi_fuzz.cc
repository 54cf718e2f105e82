// Property: a description of devices is refused, or each of its devices has a name by which it can
// be asked for, and paths that are absolute.
#include <cstdint>
#include <cstdlib>

#include "base/bytes.h"
#include "cdi/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;  // NOLINT(google-build-using-namespace)
  const auto spec = cdi::ParseSpec(AsText(std::as_bytes(std::span(data, size))));
  if (!spec.ok()) {
    return 0;
  }
  if (!cdi::IsKind(spec->kind) || spec->devices.empty()) {
    std::abort();
  }
  for (const cdi::Device& device : spec->devices) {
    if (!cdi::IsDeviceName(device.name)) {
      std::abort();
    }
    for (const cdi::DeviceNode& node : device.edits.nodes) {
      if (!node.path.starts_with('/')) {
        std::abort();
      }
    }
  }
  return 0;
}
