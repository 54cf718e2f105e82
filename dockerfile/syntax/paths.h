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

}  // namespace starling::dockerfile::syntax
