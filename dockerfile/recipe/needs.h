#pragma once

#include <cstddef>
#include <optional>

#include "dockerfile/recipe/recipe.h"

namespace starling::dockerfile::recipe {

/// What a recipe's base must bring itself: the places of the first steps that call it, while no
/// step before them can have brought it.
struct BaseNeeds {
  std::optional<size_t> python;
  std::optional<size_t> pip;

  friend bool operator==(const BaseNeeds&, const BaseNeeds&) = default;
};

BaseNeeds NeedsOfBase(const Recipe& recipe);

}  // namespace starling::dockerfile::recipe
