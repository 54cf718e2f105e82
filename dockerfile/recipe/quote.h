/// Literal values as words that mean them.
#pragma once

#include <string>
#include <string_view>

namespace starling::dockerfile::recipe {

/// One word that expands to `value`, whatever is in it: in a Dockerfile (with any escape
/// character) and in a POSIX shell alike. As it is where nothing in it means something.
std::string QuoteWord(std::string_view value);

/// The same for a flag of an instruction, in which a backslash counts inside of quotes, too.
std::string QuoteFlagValue(std::string_view value);

/// A pattern of COPY that matches the path `path` alone.
std::string QuoteGlob(std::string_view path);

}  // namespace starling::dockerfile::recipe
