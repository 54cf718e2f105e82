/// Paths in an image and in a build context: text with slashes, no file system is asked.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::dockerfile::syntax {

/// The shortest path that means the same: no `.`, no `..` but at the start of a relative path, no
/// double or trailing slash. "." for nothing.
std::string CleanPath(std::string_view path);

/// Errors: kInvalidArgument unless `pattern` is one of Go's filepath.Match: `*`, `?`, classes
/// [a-z] and [^a-z], a backslash before what is meant literally.
Status CheckGlob(std::string_view pattern);

/// Whether all of `name` matches `pattern`, one that CheckGlob accepts. Neither `*` nor `?` matches
/// a slash. Takes time in proportion to the product of their lengths at most.
bool MatchesGlob(std::string_view pattern, std::string_view name);

}  // namespace starling::dockerfile::syntax
