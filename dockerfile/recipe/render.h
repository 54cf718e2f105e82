/// A recipe as a Dockerfile: the same instructions, so the same graph and the same cache.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "dockerfile/recipe/installs.h"
#include "dockerfile/recipe/recipe.h"
#include "dockerfile/syntax/dockerfile.h"
#include "dockerfile/syntax/variables.h"

namespace starling::dockerfile::recipe {

struct RenderOptions {
  /// The build context that has what stands for the packages of each install (see installs.h), in
  /// files of their numbers; empty: they are not locked. From builder version 2 on.
  std::string lock_context;
  /// The install that is told to write what it would install to kResolvedFile; it is the last
  /// instruction then.
  std::optional<size_t> resolve;
  /// Of the build: given to commands that write times into files.
  std::optional<int64_t> source_date_epoch;
};

struct RenderedRecipe {
  /// What the ranges in `dockerfile` speak of. It is that Dockerfile, but for values with line
  /// ends, which no Dockerfile can say: here they have a blank in their place.
  std::string text;
  syntax::Dockerfile dockerfile;
  syntax::BuildArguments build_arguments;
  /// The named build contexts that it needs, each once, in order of the alphabet.
  std::vector<std::string> contexts;
  /// The JSON pointer of the first value with a line end, or empty.
  std::string line_end_at;
  /// In order.
  std::vector<Install> installs;
};

/// Errors: of CheckRecipe; kInvalidArgument for Dockerfile text in a step that cannot be read, and
/// for a value that is too long for a Dockerfile's line; kFailedPrecondition for a step that cannot
/// be locked, if that is asked for. All with the step's JSON pointer.
StatusOr<RenderedRecipe> RenderRecipe(const Recipe& recipe, const RenderOptions& options = {});

/// The Dockerfile's text. Errors: the same, and kFailedPrecondition for a value with a line end.
StatusOr<std::string> RenderDockerfile(const Recipe& recipe);

}  // namespace starling::dockerfile::recipe
