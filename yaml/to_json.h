#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::yaml {

/// Longer texts are kResourceExhausted.
inline constexpr size_t kMaxBytes = 4 << 20;
/// And so is deeper nesting.
inline constexpr size_t kMaxDepth = 32;

/// The documents of a text of YAML, or of one that is a JSON object, each as JSON. All scalars of
/// YAML become texts, but for null: nothing here needs numbers. Anchors, aliases, tags, and one key
/// twice are refused: a manifest has no use for them, and some grow without end. Errors
/// (kInvalidArgument) are "line N: what", without the line's text.
StatusOr<std::vector<std::string>> ToJson(std::string_view text);

}  // namespace starling::yaml
