/// The patterns of ${NAME#PATTERN} and its kin: `*` is any text without line ends, `?` any one
/// character but a line end, a backslash protects `*`, `?`, `\`, `}` and `/`. No classes.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::dockerfile::syntax {

enum class Match { kShortest, kLongest };
enum class Replace { kFirst, kAll };

/// `value` without the part at its start that matches; all of it when none does.
/// Errors: kInvalidArgument for an escape or a byte that is none in a pattern.
StatusOr<std::string> CutPrefix(std::string_view value, std::string_view pattern, Match match);
/// The same at its end.
StatusOr<std::string> CutSuffix(std::string_view value, std::string_view pattern, Match match);
/// `value` with `replacement`, taken literally, for what matches `pattern` (the longest text).
/// Errors: kResourceExhausted when the result is longer than `limit_bytes`, else as above.
StatusOr<std::string> ReplacePattern(std::string_view value, std::string_view pattern,
                                     std::string_view replacement, Replace replace,
                                     size_t limit_bytes);

}  // namespace starling::dockerfile::syntax
