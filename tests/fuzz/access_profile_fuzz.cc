// Property: a profile that parses is within its bounds, writes itself as one that parses to the
// same, and merged with itself needs the same bytes; its plan names each range once.
#include <cstdlib>

#include "layer/access_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  using layer::AccessProfile;
  const auto profile = AccessProfile::Parse(std::as_bytes(std::span(data, size)));
  if (!profile.ok()) {
    return 0;
  }
  if (profile->layers().size() > AccessProfile::kMaxLayers ||
      profile->range_count() > AccessProfile::kMaxRanges ||
      profile->needed_bytes() > AccessProfile::kMaxLayers * AccessProfile::kMaxDataBytes) {
    std::abort();
  }
  const std::string json = profile->ToJson();
  const auto again = AccessProfile::Parse(AsBytes(json));
  if (!again.ok() || *again != *profile || again->ToJson() != json) {
    std::abort();
  }
  const auto twice = AccessProfile::Merge(*profile, *profile);
  if (!twice.ok() || twice->needed_bytes() > profile->needed_bytes() ||
      (profile->runs() * 2 <= AccessProfile::kMaxRuns &&
       twice->needed_bytes() != profile->needed_bytes())) {
    std::abort();
  }
  if (layer::InOrderOfNeed(*profile).size() != profile->range_count()) {
    std::abort();
  }
  return 0;
}
