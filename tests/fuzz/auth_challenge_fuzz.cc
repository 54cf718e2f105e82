// Property: any header gives at most the promised number of challenges and parameters, each value
// no longer than the header; any Content-Range that is accepted lies inside its total.
#include <cstdlib>

#include "base/bytes.h"
#include "registry/auth_challenge.h"
#include "registry/content_range.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  using namespace starling::registry;
  const std::string_view text = AsText(std::as_bytes(std::span(data, size)));
  const auto challenges = ParseAuthChallenges(text);
  if (challenges.size() > kMaxChallenges) std::abort();
  for (const AuthChallenge& challenge : challenges) {
    if (challenge.scheme.empty() || challenge.parameters.size() > kMaxChallengeParameters) {
      std::abort();
    }
    for (const auto& [name, value] : challenge.parameters) {
      if (name.empty() || value.size() > size) std::abort();
    }
  }
  const auto range = ParseContentRange(text);
  if (range.ok() && range->range) {
    if (range->range->size_bytes == 0) std::abort();
    if (range->total_bytes && range->range->end() > *range->total_bytes) std::abort();
  }
  if (range.ok() && !range->range && !range->total_bytes) std::abort();
  return 0;
}
