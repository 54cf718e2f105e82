#pragma once

#include <string>
#include <string_view>

namespace starling {

/// Without spaces, tabs and ends of lines at both ends. Borrowed.
std::string_view TrimSpace(std::string_view text);
/// The first line, without its end, and takes both off. Borrowed.
std::string_view TakeLine(std::string_view& text);
/// ASCII letters in lower case.
std::string LowerCase(std::string_view text);
/// Whether `text` is nothing but printable ASCII without spaces: fit for a header, and for a log.
bool IsOneWord(std::string_view text);
/// For a terminal: control characters, which whoever wrote the text may have put there, are shown
/// and not obeyed.
std::string Shown(std::string_view text);
/// For a part of a URL: everything but letters, digits and "-._~" as %XX.
std::string PercentEncode(std::string_view text);
/// `text` as one word of a POSIX shell's command line: in quotes where it needs them.
std::string ShellWord(std::string_view text);

}  // namespace starling
