#pragma once

#include <string>

#include "dockerfile/recipe/recipe.h"

namespace starling::dockerfile::recipe {

/// The JSON that ParseRecipe reads, indented, with a line end; equal recipes give equal bytes.
std::string WriteRecipe(const Recipe& recipe);

}  // namespace starling::dockerfile::recipe
