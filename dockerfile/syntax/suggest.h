#pragma once

#include <span>
#include <string>
#include <string_view>

namespace starling::dockerfile::syntax {

/// The one of `options` that `word` was probably meant to be: at most two letters inserted,
/// removed or replaced, whatever the case. Empty when none is that near, or `word` is one of them.
std::string Suggest(std::string_view word, std::span<const std::string_view> options);

}  // namespace starling::dockerfile::syntax
