#pragma once

#include "base/status.h"
#include "dockerfile/recipe/recipe.h"

namespace starling::dockerfile::recipe {

/// Whether `recipe` can be built as it stands, as far as can be said without its files: one base
/// and that first, names that are names, paths that stay inside, no option among packages.
/// Errors: kInvalidArgument with the JSON pointer of the first thing that is wrong, and what to do.
Status CheckRecipe(const Recipe& recipe);

}  // namespace starling::dockerfile::recipe
