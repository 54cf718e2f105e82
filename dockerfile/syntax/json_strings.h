#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::syntax {

/// The strings of a JSON array, or nothing when `text` is no JSON array at all.
/// Errors: kInvalidArgument for a JSON array of which a member is no string.
StatusOr<std::optional<std::vector<std::string>>> ParseJsonStrings(std::string_view text);

/// `strings` as a JSON array, on one line.
std::string JsonOfStrings(const std::vector<std::string>& strings);

}  // namespace starling::dockerfile::syntax
