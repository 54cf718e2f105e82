/// Pieces of the JSON that layers carry.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace starling::estargz {

bool IsUtf8(std::string_view text);

/// Appends `text` in quotes, with U+FFFD in place of each sequence that is not UTF-8.
void AppendJsonText(std::string& json, std::string_view text);

/// RFC 3339 has four digits for the year: whether there is such a time.
bool IsTimeOfJson(int64_t seconds);

/// In RFC 3339 and UTC; times that it does not have are moved to its ends. No more digits of the
/// fraction than are needed.
std::string JsonTime(int64_t seconds, uint32_t nanoseconds = 0);

}  // namespace starling::estargz
