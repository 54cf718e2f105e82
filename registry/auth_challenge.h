#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace starling::registry {

/// One way to authenticate that a server offers.
struct AuthChallenge {
  std::string scheme;                             // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // names in lower case, values unquoted

  /// Empty when absent.
  const std::string& Parameter(const std::string& name) const;
};

/// Longer headers are cut off here, and more challenges or parameters ignored.
inline constexpr size_t kMaxChallengeBytes = 8 << 10;
inline constexpr size_t kMaxChallenges = 16;
inline constexpr size_t kMaxChallengeParameters = 32;

/// The challenges of one WWW-Authenticate value, in order. What cannot be read is skipped: the
/// header comes from anyone. Source: RFC 9110, section 11.6.1.
std::vector<AuthChallenge> ParseAuthChallenges(std::string_view header);

}  // namespace starling::registry
