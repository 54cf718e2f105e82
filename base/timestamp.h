#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace starling {

/// Seconds since 1970 of a time in RFC 3339, such as "2006-01-02T15:04:05.999+01:00"; fractions are
/// cut off. Nothing for any other text. A leap second counts as the next second.
std::optional<int64_t> ParseTimestamp(std::string_view text);
/// The same way back, in whole seconds of UTC: "2006-01-02T15:04:05Z".
std::string TimestampText(std::chrono::system_clock::time_point time);

}  // namespace starling
