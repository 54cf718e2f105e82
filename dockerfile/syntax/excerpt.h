#pragma once

#include <string>
#include <string_view>

#include "dockerfile/syntax/position.h"

namespace starling::dockerfile::syntax {

/// The first line of `range` with its number in front, and below it a mark under what is meant;
/// each line ends in a line end. Cut where it gets too wide for a screen, and without control
/// characters, since the text may be a stranger's. Empty for a range that is nowhere.
std::string Excerpt(std::string_view source, const Range& range);

}  // namespace starling::dockerfile::syntax
