/// Recipes on the command line: from a file, and as options that are steps.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/status.h"
#include "dockerfile/recipe/recipe.h"

namespace starling::cli {

/// Reads and checks the recipe in the file `path`; "-" is standard input.
StatusOr<dockerfile::recipe::Recipe> ReadRecipe(const std::string& path);

/// Adds an option for each kind of step. When the command line is parsed, each use appends one step
/// to `recipe`, in the order in which they stand there; nothing of them is checked yet
/// (CheckRecipe). `recipe` must live as long as `command`.
void AddStepOptions(CLI::App& command, dockerfile::recipe::Recipe& recipe);

/// What `--print` may say of a recipe. The last two are the same.
inline constexpr const char* kPrintDockerfile = "dockerfile";
inline constexpr const char* kPrintRecipe = "recipe";
inline constexpr const char* kPrintJson = "json";

/// Prints a recipe as a Dockerfile or in the JSON's normal form, after having checked it.
Status PrintRecipe(const dockerfile::recipe::Recipe& recipe, const std::string& form);

}  // namespace starling::cli
