/// Which exact packages an install of a recipe's stands for: what apt, pip and uv say that they
/// would install, as lines that make them install just that.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "dockerfile/recipe/recipe.h"

namespace starling::dockerfile::recipe {

/// A command that asks an index for packages.
struct Install {
  enum class Kind { kApt, kPip, kUv };
  size_t step = 0;
  Kind kind = Kind::kApt;
  /// What it is asked for, as a command.
  std::string name;
  std::vector<ContextPath> requirements;
};

/// Where an install that is locked has its lines: for apt PACKAGE=VERSION, else a file of
/// requirements with a digest for each.
inline constexpr std::string_view kLockTarget = "/.starling-lock";
/// Where one that is resolved writes what it would install; uv says its versions in the other.
inline constexpr std::string_view kResolvedFile = "/.starling-resolved";
inline constexpr std::string_view kUvPlanFile = "/.starling-plan";
/// As much as is read of these, and of a file of requirements.
inline constexpr size_t kMaxResolvedBytes = size_t{64} << 20U;

/// The lines of what was written. `plan` is uv's. All of it is untrusted. Errors: kDataLoss for
/// text that is none of theirs; kFailedPrecondition for a package that has no digest, with what to
/// do.
StatusOr<std::vector<std::string>> LinesOfResolved(Install::Kind kind, std::string_view resolved,
                                                   std::string_view plan);

/// The options for the index that a file of requirements has, such as "--index-url URL", a line
/// each. Errors: kInvalidArgument for one with a password.
StatusOr<std::vector<std::string>> IndexLinesOf(std::string_view requirements);

}  // namespace starling::dockerfile::recipe
