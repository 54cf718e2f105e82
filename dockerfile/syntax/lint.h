/// Looks through a Dockerfile for what is wrong and for what is better done otherwise, without
/// building it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dockerfile/syntax/dockerfile.h"
#include "dockerfile/syntax/ignore_file.h"
#include "dockerfile/syntax/lint_rules.h"
#include "dockerfile/syntax/variables.h"

namespace starling::dockerfile::syntax {

struct LintWarning {
  LintRule rule;
  /// What is meant: names, values. BuildKit's wording, which people search for.
  std::string detail;
  Range range;
};

struct LintSettings {
  BuildSettings build;
  /// Of the build context; null when there is none. Borrowed during the call.
  const IgnoreFile* ignore_file = nullptr;
  /// Instead of the `check` directive.
  std::optional<CheckOptions> options;
};

struct LintReport {
  /// In order of their places.
  std::vector<LintWarning> warnings;
  /// Why the Dockerfile cannot be built as it is: of the parser, or found when variables were
  /// expanded and references followed for the target.
  std::optional<Problem> problem;
  /// Warnings are errors, by the options.
  bool warnings_are_errors = false;
};

/// What all expansions together may give; a few lines could otherwise ask for days of work.
inline constexpr size_t kMaxLintExpansionBytes = size_t{16} << 20U;
inline constexpr size_t kMaxStages = 1000;

/// Stages that the target does not need are only looked at as text, as they are not built.
/// A variable that no instruction sets may come from a base image, which is not asked: undefined
/// variables are found in stages that begin from scratch.
LintReport Lint(const Dockerfile& dockerfile, const LintSettings& settings);

}  // namespace starling::dockerfile::syntax
