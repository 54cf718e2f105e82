#pragma once

#include <string>
#include <string_view>

namespace starling {

/// Without spaces, tabs and ends of lines at both ends. Borrowed.
std::string_view TrimSpace(std::string_view text);
/// ASCII letters in lower case.
std::string LowerCase(std::string_view text);
/// Whether `text` is nothing but printable ASCII without spaces: fit for a header, and for a log.
bool IsOneWord(std::string_view text);

}  // namespace starling
