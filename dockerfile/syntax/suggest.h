#pragma once

#include <span>
#include <string>
#include <string_view>

namespace starling::dockerfile::syntax {

/// The one of `options` that `word` was probably meant to be: at most two letters inserted,
/// removed or replaced, whatever the case. Empty when none is that near, when
/// `word` is one of them, or when there are too many to compare.
std::string Suggest(std::string_view word, std::span<const std::string_view> options);

/// " (did you mean PREFIXsuggestion?)", or nothing without a suggestion: the end of an error.
std::string DidYouMean(std::string_view suggestion, std::string_view prefix = {});

}  // namespace starling::dockerfile::syntax
