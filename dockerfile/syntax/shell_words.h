/// The shell's words as a Dockerfile knows them: quotes, escapes and variables.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::syntax {

/// The value of a variable, or nothing for one that is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

/// A lookup that knows no variable.
std::optional<std::string> NoVariables(std::string_view name);

struct ExpandOptions {
  /// The character that protects the next one; the `escape` directive's.
  char escape = '\\';
  /// Quotes and escapes stay in the result, too.
  bool keep_quotes = false;
  bool keep_escapes = false;
  /// Quotes are ordinary characters, as in the body of a heredoc.
  bool ignore_quotes = false;
  /// A reference to a variable that is not set stays as it is, instead of becoming nothing.
  bool keep_unset = false;
};

struct Expansion {
  /// The whole text with variables replaced, blanks and all.
  std::string text;
  /// The same, split at blanks outside of quotes, those in values included.
  std::vector<std::string> words;
  /// The variables that were asked for, by whether they were set.
  std::set<std::string> matched;
  std::set<std::string> unmatched;
};

/// No expansion is longer; a few variables that name each other would otherwise fill the memory.
inline constexpr size_t kMaxExpansionBytes = size_t{1} << 20U;
/// References within references, ${A:-${B:-...}}.
inline constexpr int kMaxExpansionDepth = 64;

/// Expands $NAME, ${NAME}, ${NAME:-WORD} and its forms (`-` `+` `?` with and without `:`), and
/// ${NAME#PATTERN} `##` `%` `%%` `/` `//`. Special and positional parameters are never set.
/// Errors: kInvalidArgument for what is no such form, an unbalanced quote, or a variable that `?`
/// demands; kResourceExhausted past the limits.
StatusOr<Expansion> Expand(std::string_view text, const Lookup& lookup,
                           const ExpandOptions& options = {});

}  // namespace starling::dockerfile::syntax
