#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "base/status.h"
#include "dockerfile/recipe/recipe.h"

namespace starling::dockerfile::recipe {

inline constexpr size_t kMaxRecipeBytes = size_t{4} << 20U;
inline constexpr size_t kMaxRecipeSteps = 10000;

/// Reads a recipe from untrusted JSON and checks it (CheckRecipe). Strict: a member that is not
/// known, of another type, or there twice, and another version are refused.
/// Errors: kInvalidArgument, with the JSON pointer of what is wrong; kResourceExhausted past the
/// limits.
StatusOr<Recipe> ParseRecipe(ByteSpan json);

}  // namespace starling::dockerfile::recipe
